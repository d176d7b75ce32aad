//! Libraries that find near vectors, from the Python registry.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::pip_install;

/// A library, installed in a virtual environment of its own.
pub struct Library {
    /// Name and version, as tables show it.
    pub name: &'static str,
    /// What `context/peers.py` knows it by.
    pub kind: &'static str,
    folder: &'static str,
    packages: &'static [&'static str],
    /// What is there once it is installed, beside the packages.
    module: &'static str,
}

const NUMPY: &str = "numpy==2.3.4";
const FAISS: &[&str] = &[NUMPY, "faiss-cpu==1.15.1"];

/// Alphabetic.
pub const LIBRARIES: [Library; 4] = [
    Library {
        name: "faiss 1.15.1 flat",
        kind: "faiss-flat",
        folder: "faiss",
        packages: FAISS,
        module: "faiss",
    },
    Library {
        name: "faiss 1.15.1 HNSW",
        kind: "faiss-hnsw",
        folder: "faiss",
        packages: FAISS,
        module: "faiss",
    },
    Library {
        name: "hnswlib 0.8.0",
        kind: "hnswlib",
        folder: "hnswlib",
        packages: &[NUMPY, "hnswlib==0.8.0"],
        module: "hnswlib",
    },
    Library {
        name: "usearch 2.26.6",
        kind: "usearch",
        folder: "usearch",
        packages: &[NUMPY, "usearch==2.26.6"],
        module: "usearch",
    },
];

impl Library {
    /// Its interpreter, installed unless it is there: the imports are what counts.
    pub fn ensure_installed(&self, peers: &Path) -> Result<PathBuf> {
        let home = peers.join(self.folder);
        let python = home.join("venv/bin/python");
        if !self.imports(&python) {
            std::fs::create_dir_all(&home)?;
            eprintln!("installing {} into {} ...", self.name, home.display());
            pip_install(&home, self.packages)?;
            ensure!(self.imports(&python), "{} installed without error and cannot be imported", self.name);
        }
        Ok(python)
    }

    fn imports(&self, python: &Path) -> bool {
        let import = format!("import numpy, {}", self.module);
        let run = std::process::Command::new(python).args(["-c", &import]).output();
        run.is_ok_and(|output| output.status.success())
    }
}
