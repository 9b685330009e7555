//! The repository's text files, read once. What is built or fuzzed is left out.

use std::path::Path;

/// Folders that hold nothing written by hand; paths from the root.
const SKIPPED: &[&str] =
    &["target", ".git", "fuzz/target", "fuzz/corpus", "fuzz/artifacts", "fuzz/seeds"];

/// Endings of the files that are checked.
const ENDINGS: &[&str] = &["rs", "md", "toml"];

/// A file: its path from the root with `/`, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// Whether the file's name ends in a dot and `ending`.
    pub(crate) fn is(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|it| it == ending)
    }

    /// The same file without the module `tests` at its end.
    pub(crate) fn without_tests(&self) -> Self {
        let cut = self.text.split_once("\n#[cfg(test)]\nmod tests {").map(|(before, _)| before);
        Self { path: self.path.clone(), text: cut.unwrap_or(&self.text).to_owned() }
    }
}

/// Reads every file with one of the known endings, in order of path.
pub(crate) fn read(root: &Path) -> Result<Vec<Source>, String> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Text of one file that has to be there.
pub(crate) fn text<'a>(files: &'a [Source], path: &str) -> Result<&'a str, String> {
    let found = files.iter().find(|it| it.path == path);
    found.map(|it| it.text.as_str()).ok_or_else(|| format!("{path} is missing"))
}

fn walk(root: &Path, folder: &str, files: &mut Vec<Source>) -> Result<(), String> {
    let here = root.join(folder);
    let failed = |err: std::io::Error| format!("{}: {err}", here.display());
    for entry in std::fs::read_dir(&here).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            if !SKIPPED.contains(&path.as_str()) && !path.ends_with("exeunt-home") {
                walk(root, &path, files)?;
            }
        } else if kind.is_file()
            && Path::new(&path)
                .extension()
                .is_some_and(|it| ENDINGS.iter().any(|ending| it == *ending))
        {
            let text = std::fs::read_to_string(entry.path())
                .map_err(|err| format!("{}: {err}", entry.path().display()))?;
            files.push(Source { path, text });
        }
    }
    Ok(())
}
