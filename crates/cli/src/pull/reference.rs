//! `hf:<org>/<repo>[@<revision>]/<file>.gguf`: what to fetch. Each part becomes
//! a path on the disk, so each part is a plain name.

use std::path::PathBuf;
use std::str::FromStr;

use report::Report;

use crate::Failure;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub org: String,
    pub repo: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// May lie in folders of the repository.
    pub file: String,
}

impl Reference {
    /// Below the folder of models. Two revisions of one file lie side by side.
    pub fn path(&self) -> PathBuf {
        let repo = if self.revision == "main" {
            self.repo.clone()
        } else {
            format!("{}@{}", self.repo, self.revision)
        };
        [self.org.as_str(), &repo].iter().collect::<PathBuf>().join(&self.file)
    }
}

impl FromStr for Reference {
    type Err = Failure;
    fn from_str(text: &str) -> Result<Reference, Failure> {
        let read = || {
            let rest = text.strip_prefix("hf:")?;
            let (org, rest) = rest.split_once('/')?;
            let (repo, file) = rest.split_once('/')?;
            let (repo, revision) = repo.split_once('@').unwrap_or((repo, "main"));
            let parts_are_plain = [org, repo, revision].into_iter().chain(file.split('/')).all(plain);
            let reference = Reference {
                org: org.to_owned(),
                repo: repo.to_owned(),
                revision: revision.to_owned(),
                file: file.to_owned(),
            };
            (parts_are_plain && file.ends_with(".gguf") && text.len() <= 500).then_some(reference)
        };
        read().ok_or_else(|| {
            let shown: String = text.chars().take(120).collect();
            Report::new("CL0007", format!("\"{shown}\" is not a reference to a model file"))
                .hint("hf:<org>/<repo>/<file>.gguf, such as hf:org/repo/model-q4_k_m.gguf")
                .into()
        })
    }
}

fn plain(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_a_path_below_the_models() {
        let r: Reference = "hf:org/repo/sub/model-q4.gguf".parse().expect("it is one");
        assert_eq!(r.path(), PathBuf::from("org/repo/sub/model-q4.gguf"));
        let r: Reference = "hf:org/repo@v1.2/model.gguf".parse().expect("it is one");
        assert_eq!((r.revision.as_str(), r.path()), ("v1.2", PathBuf::from("org/repo@v1.2/model.gguf")));
    }

    #[test]
    fn trap_x2_no_reference_leaves_the_folder_or_names_a_url() {
        for bad in [
            "hf:org/../x.gguf",
            "hf:../repo/x.gguf",
            "hf:org/repo/../../x.gguf",
            "hf:org/repo/.hidden.gguf",
            "hf:org/repo@../x/y.gguf",
            "hf:/repo/x.gguf",
            "hf:org/repo/x.safetensors",
            "hf:org/repo/x%2f..gguf",
            "hf:org/repo/a b.gguf",
            "https://host/x.gguf",
            "hf:org/x.gguf",
            "",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
