//! The address of a PostgreSQL database.

use report::Report;

use crate::read::{Fields, text};
use crate::yaml::Node;

/// `postgresql://HOST:PORT/NAME`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    pub host: String,
    pub port: u16,
    pub name: String,
    /// Encrypted, by a certificate for the host.
    pub tls: bool,
}

const PORT: u16 = 5432;
/// As PostgreSQL's own names.
const NAME_MAX: usize = 63;

pub(crate) fn read(node: &Node, allow_private: bool, name: &str, fields: &Fields) -> Option<Database> {
    let path = fields.path_of(name);
    let url = text(node, &path, fields.problems)?;
    if url.contains('@') {
        fields.problems.secret(&path, node.at);
        return None;
    }
    let refuse = |because: &str, hint: &str| {
        let report = Report::new("MF0009", format!("`{path}` is not accepted"));
        fields
            .problems
            .push(report.at(fields.problems.place(node.at)).because(because.to_owned()).hint(hint));
        None
    };
    let Some(database) = parse(&url) else {
        return refuse(
            "it must be `postgresql://HOST/DATABASE`, with `:PORT` and `?sslmode=disable` where they are needed",
            "write the name of the database as it is, in letters, digits, `_`, `-` and `.`",
        );
    };
    if !database.tls && !allow_private {
        return refuse(
            "without TLS everyone on the way reads what is asked and answered",
            "leave `?sslmode=disable` out, or write `allowPrivate: true` for a machine of your own network",
        );
    }
    Some(database)
}

fn parse(url: &str) -> Option<Database> {
    let rest = url.strip_prefix("postgresql://").or_else(|| url.strip_prefix("postgres://"))?;
    let (rest, tls) = match rest.split_once('?') {
        None | Some((_, "sslmode=verify-full")) => (rest.split('?').next()?, true),
        Some((rest, "sslmode=disable")) => (rest, false),
        Some(_) => return None,
    };
    let (authority, name) = rest.split_once('/')?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, PORT),
    };
    let is_v6 = host.starts_with('[') && host.ends_with(']');
    let within = |text: &str, signs: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || signs.contains(&b))
    };
    let sane = if is_v6 { within(&host[1..host.len() - 1], b":.") } else { within(host, b"-._") };
    (sane && within(name, b"_-.") && name.len() <= NAME_MAX && port != 0).then(|| Database {
        host: host.to_owned(),
        port,
        name: name.to_owned(),
        tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_a_port_and_a_database() {
        let known = |url: &str| parse(url).map(|d| format!("{} {} {} {}", d.host, d.port, d.name, d.tls));
        assert_eq!(known("postgresql://db.example/shop").as_deref(), Some("db.example 5432 shop true"));
        assert_eq!(
            known("postgres://10.0.0.7:6000/shop-2?sslmode=disable").as_deref(),
            Some("10.0.0.7 6000 shop-2 false")
        );
        assert_eq!(
            known("postgresql://[::1]/shop?sslmode=verify-full").as_deref(),
            Some("[::1] 5432 shop true")
        );
        for wrong in [
            "https://db.example/shop",
            "postgresql://db.example",
            "postgresql://db.example/",
            "postgresql:///shop",
            "postgresql://db.example/shop?sslmode=require",
            "postgresql://db.example/shop?sslmode=disable&options=-c",
            "postgresql://db.example:0/shop",
            "postgresql://db.example:x/shop",
            "postgresql://a,b/shop",
            "postgresql://db.example/shop/more",
            "postgresql://::1/shop",
        ] {
            assert_eq!(known(wrong), None, "{wrong}");
        }
    }
}
