//! The texts to judge: files, folders, standard input. The one place of these commands that reads anything.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// File extensions that are read from a folder.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// A text, or why it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file as it was named, or STDIN.
    pub name: String,
    /// Its text.
    pub text: Result<String, String>,
}

/// Reads every file, in the order given; those of a folder by name.
pub fn read(paths: &[PathBuf], recursive: bool, stdin: &mut impl Read) -> Vec<Source> {
    let mut sources = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            sources.push(source("STDIN".to_owned(), || bytes(stdin)));
        } else if path.is_dir() {
            let before = sources.len();
            folder(path, recursive, &mut sources);
            if sources.len() == before {
                let none = || Err(io::Error::other("the folder has no .json, .yaml or .yml file"));
                sources.push(source(path.display().to_string(), none));
            }
        } else {
            sources.push(source(path.display().to_string(), || fs::read(path)));
        }
    }
    sources
}

fn bytes(stdin: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn source(name: String, read: impl FnOnce() -> io::Result<Vec<u8>>) -> Source {
    let text = read().map_err(|error| error.to_string());
    Source { name, text: text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())) }
}

fn folder(path: &Path, recursive: bool, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = match entries {
        Ok(paths) => paths,
        Err(error) => return sources.push(source(path.display().to_string(), || Err(error))),
    };
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if recursive {
                folder(&path, recursive, sources);
            }
        } else if path.extension().is_some_and(|of_file| EXTENSIONS.iter().any(|known| of_file == *known)) {
            sources.push(source(path.display().to_string(), || fs::read(&path)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf], recursive: bool) -> Vec<(String, bool)> {
        let read = read(paths, recursive, &mut "from stdin".as_bytes());
        let name = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        read.iter().map(|source| (name(&source.name), source.text.is_ok())).collect()
    }

    #[test]
    fn folders_are_read_by_name_and_what_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("below")).unwrap();
        for file in ["b.yaml", "a.yml", "c.json", "notes.txt", "below/d.yaml"] {
            fs::write(root.join(file), "x: 1\n").unwrap();
        }
        fs::write(root.join("latin1.yaml"), b"x: \xe9\n").unwrap();
        let ok = |name: &str| (name.to_owned(), true);
        let mut listed = vec![ok("a.yml"), ok("b.yaml"), ok("c.json"), ("latin1.yaml".to_owned(), false)];
        assert_eq!(names(&[root.to_owned()], false), listed);
        listed.insert(2, ok("d.yaml"));
        assert_eq!(names(&[root.to_owned()], true), listed);
        assert_eq!(
            names(&["-".into(), root.join("absent.yaml")], false),
            [ok("STDIN"), ("absent.yaml".to_owned(), false)]
        );
        let empty = tempfile::tempdir().unwrap();
        assert!(read(&[empty.path().to_owned()], true, &mut io::empty())[0].text.is_err());
    }
}
