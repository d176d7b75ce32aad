//! A real PostgreSQL server in a folder of its own, on a port that was free.
//!
//! The server refuses to run as root; a test that does lends it an account that has nothing.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The administrator of every server here, and their password.
pub const ADMIN: &str = "admin";
pub const PASSWORD: &str = "an administrator's password";

/// A running server; it ends and its folder goes when dropped.
pub struct Postgres {
    child: Child,
    programs: PathBuf,
    folder: PathBuf,
    pub port: u16,
}

static NEXT: AtomicU32 = AtomicU32::new(0);
const PAUSE: Duration = Duration::from_millis(20);

impl Postgres {
    /// Starts one with these settings, and these files (a certificate, its key) beside its data, where
    /// `ssl_key_file=../server.key` finds them; `None`, aloud, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it is installed and does not start.
    pub fn start(settings: &[(&str, &str)], files: &[(&str, &str)]) -> Option<Postgres> {
        let Some(programs) = programs() else {
            eprintln!("SKIPPED: there is no PostgreSQL server here (`cargo xtask test` installs one)");
            return None;
        };
        Some(Postgres::begin(programs, settings, files).expect("start PostgreSQL"))
    }

    fn begin(programs: PathBuf, settings: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Postgres> {
        let number = NEXT.fetch_add(1, Relaxed);
        let folder = std::env::temp_dir().join(format!("bedplate-postgres-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let account = account(&folder)?;
        let own = |path: &Path| chown(path, account.map(|(user, _)| user), account.map(|(_, group)| group));
        own(&folder)?;
        for (name, text) in files.iter().chain(&[("password", PASSWORD)]) {
            let path = folder.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            own(&path)?;
        }
        let mut initdb = under(account, &programs.join("initdb"), &folder);
        initdb.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        initdb
            .args(["-U", ADMIN])
            .arg("--pwfile")
            .arg(folder.join("password"))
            .arg("-D")
            .arg(folder.join("data"));
        let made = initdb.output().context("run initdb")?;
        if !made.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&made.stderr));
        }
        for _ in 0..5 {
            // Somebody else may take it before the server does.
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let child = serve(account, &programs, &folder, port, settings)?;
            let mut server = Postgres { child, programs: programs.clone(), folder: folder.clone(), port };
            if server.answers()? {
                return Ok(server);
            }
        }
        bail!("no port was free for PostgreSQL: {}", fs::read_to_string(folder.join("log"))?)
    }

    /// Whether it takes connections, once it either does or has ended.
    fn answers(&mut self) -> Result<bool> {
        for _ in 0..1_500 {
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if self.query("SELECT 1").is_ok() {
                return Ok(true);
            }
            thread::sleep(PAUSE);
        }
        bail!("PostgreSQL does not answer: {}", fs::read_to_string(self.folder.join("log"))?)
    }

    /// What the administrator is answered: a line a row, values between `|`.
    ///
    /// # Errors
    /// What the server says.
    pub fn query(&self, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-d", "postgres"]);
        psql.args(["-U", ADMIN, "-p", &self.port.to_string(), "-c", sql]).env("PGPASSWORD", PASSWORD);
        let answer = psql.output().context("run psql")?;
        if !answer.status.success() {
            bail!("{}", String::from_utf8_lossy(&answer.stderr));
        }
        Ok(String::from_utf8(answer.stdout)?.trim_end().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once: the postmaster takes its children along.
        let _ = Command::new("kill").args(["-QUIT", &self.child.id().to_string()]).status();
        for _ in 0..250 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                break;
            }
            thread::sleep(PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where the server's programs are: the newest that Debian keeps, or others' places.
fn programs() -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    places.sort();
    places.reverse();
    places.extend(["/usr/local/bin", "/usr/bin", "/opt/homebrew/bin"].map(PathBuf::from));
    places
        .into_iter()
        .find(|place| ["initdb", "postgres", "psql"].iter().all(|name| place.join(name).is_file()))
}

/// The account to run it under, where we are root: `postgres`, else `nobody`.
fn account(folder: &Path) -> Result<Option<(u32, u32)>> {
    if fs::metadata(folder)?.uid() != 0 {
        return Ok(None);
    }
    let known = fs::read_to_string("/etc/passwd").context("read the accounts")?;
    let numbers = |name: &str| {
        let line = known.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    Ok(Some(numbers("postgres").or_else(|| numbers("nobody")).context("find an account that is not root")?))
}

fn under(account: Option<(u32, u32)>, program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = account {
        command.uid(user).gid(group);
    }
    command.current_dir(folder).stdin(Stdio::null()).env("LC_ALL", "C");
    command
}

fn serve(
    account: Option<(u32, u32)>,
    programs: &Path,
    folder: &Path,
    port: u16,
    settings: &[(&str, &str)],
) -> Result<Child> {
    let log = fs::File::create(folder.join("log"))?;
    let mut postgres = under(account, &programs.join("postgres"), folder);
    postgres.arg("-D").arg(folder.join("data")).arg("-p").arg(port.to_string());
    // Small, without sockets in folders, and as forgetful as a test may be.
    let ours = [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("shared_buffers", "8MB"),
        ("max_connections", "20"),
        ("fsync", "off"),
    ];
    for (name, value) in ours.iter().chain(settings) {
        postgres.arg("-c").arg(format!("{name}={value}"));
    }
    postgres.stdout(Stdio::null()).stderr(log).spawn().context("start postgres")
}
