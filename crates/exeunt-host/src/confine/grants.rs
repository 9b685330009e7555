//! Which files a module can use, as the list of grants that leaves out what is forbidden.
//!
//! Landlock can allow and cannot forbid: what is allowed for a folder is allowed for everything in
//! it. So a forbidden path takes apart every folder above it, into the entries that do not lead to
//! it. What is made in such a folder later was not in the list, and is closed to the module until
//! its next start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Confinement, EnterError};

/// Most grants of one module. The folders above a CA's home have a few hundred entries together.
const GRANTS_MAX: usize = 16_384;

/// What a module can use.
#[derive(Debug)]
pub(super) struct Grants {
    /// Files, and folders with everything in them: to read, write and execute.
    pub(super) whole: Vec<PathBuf>,
    /// Files to read and execute only.
    pub(super) readable: Vec<PathBuf>,
    /// Folders with everything in them, to read only.
    pub(super) readable_folders: Vec<PathBuf>,
}

/// The files and folders that can be used by those rules.
///
/// `here` is the working directory, which counts as writable unless something forbidden is in it.
pub(super) fn find(here: &Path, rules: &Confinement) -> Result<Grants, EnterError> {
    let Confinement { writable, writable_if_there, readable, readable_folders, forbidden, .. } =
        rules;
    let forbidden: Vec<Forbidden> =
        forbidden.iter().map(|it| Forbidden::new(here, it)).collect::<Result<_, _>>()?;
    let mut granted = Vec::new();
    open(Path::new("/"), &forbidden, &mut granted)?;
    let if_there = writable_if_there.iter().filter(|it| here.join(it).is_dir());
    for path in writable.iter().chain(if_there) {
        let real = resolve(here, path, &forbidden)?;
        if is_closed(&real, &forbidden) {
            return Err(wrong(path, "is to be writable, but forbidden"));
        }
        if forbidden.iter().any(|it| it.real.starts_with(&real)) {
            return Err(wrong(path, "is to be writable, but something forbidden is in it"));
        }
        granted.push(real);
    }
    let real = resolve(here, here, &forbidden)?;
    if is_closed(&real, &forbidden) {
        return Err(wrong(here, "is the working directory, but forbidden"));
    }
    if !forbidden.iter().any(|it| it.real.starts_with(&real)) {
        granted.push(real);
    }
    let to_read = |path: &PathBuf| {
        let real = resolve(here, path, &forbidden)?;
        if is_closed(&real, &forbidden) {
            return Err(wrong(path, "is to be readable, but forbidden"));
        }
        if forbidden.iter().any(|it| it.real.starts_with(&real)) {
            return Err(wrong(path, "is to be readable, but something forbidden is in it"));
        }
        Ok(real)
    };
    let files = readable.iter().filter(|it| here.join(it).is_file());
    let folders = readable_folders.iter().filter(|it| here.join(it).is_dir());
    Ok(Grants {
        readable: files.map(to_read).collect::<Result<_, _>>()?,
        readable_folders: folders.map(to_read).collect::<Result<_, _>>()?,
        whole: granted,
    })
}

/// Whether something is forbidden for good: by its own name, or as part of what is forbidden within
/// something forbidden.
fn is_closed(real: &Path, forbidden: &[Forbidden]) -> bool {
    let within = |inner: &Forbidden| {
        forbidden.iter().any(|it| it.real != inner.real && inner.real.starts_with(&it.real))
    };
    forbidden.iter().any(|it| it.real == real || real.starts_with(&it.real) && within(it))
}

/// A forbidden path, as it was named and as it is.
struct Forbidden {
    named: PathBuf,
    real: PathBuf,
}

impl Forbidden {
    fn new(here: &Path, path: &Path) -> Result<Self, EnterError> {
        let named = here.join(path);
        let real = real_path(&named).map_err(|_| wrong(path, "cannot be resolved"))?;
        if real.parent().is_none() {
            return Err(wrong(path, "is forbidden, and everything is in it"));
        }
        Ok(Self { named, real })
    }
}

/// Grants a folder, or those of its entries that do not lead to something forbidden.
fn open(
    path: &Path,
    forbidden: &[Forbidden],
    granted: &mut Vec<PathBuf>,
) -> Result<(), EnterError> {
    if forbidden.iter().any(|it| it.real == path) {
        return Ok(());
    }
    if !forbidden.iter().any(|it| it.real.starts_with(path)) {
        if granted.len() == GRANTS_MAX {
            return Err(wrong(
                path,
                "is one of too many entries in the folders above a forbidden path",
            ));
        }
        granted.push(path.to_owned());
        return Ok(());
    }
    // Entries that we cannot list the module cannot either: it has the same user.
    let Ok(entries) = fs::read_dir(path) else { return Ok(()) };
    for entry in entries.flatten() {
        // A grant would follow the link, maybe to a folder above the forbidden one. Where it leads
        // is granted under its own name, or not.
        if entry.file_type().is_ok_and(|it| !it.is_symlink()) {
            open(&entry.path(), forbidden, granted)?;
        }
    }
    Ok(())
}

/// The real path of a folder to grant.
///
/// Within a forbidden folder it must be where its name says. A module that can write to the folder
/// around it could otherwise put a link in its place, to be given another part of what is forbidden.
fn resolve(here: &Path, path: &Path, forbidden: &[Forbidden]) -> Result<PathBuf, EnterError> {
    let named = here.join(path);
    let real = named.canonicalize().map_err(|_| wrong(path, "does not exist"))?;
    for it in forbidden.iter().filter(|it| real.starts_with(&it.real)) {
        let is_there = [&it.named, &it.real]
            .into_iter()
            .filter_map(|base| named.strip_prefix(base).ok())
            .any(|rest| it.real.join(rest) == real);
        if !is_there {
            return Err(wrong(path, "leads to something forbidden by a link"));
        }
    }
    Ok(real)
}

/// The path without links; what does not exist yet is appended as it is.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(err);
            };
            Ok(real_path(parent)?.join(name))
        }
        result => result,
    }
}

fn wrong(path: &Path, reason: &'static str) -> EnterError {
    EnterError::Path { path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct House {
        directory: tempfile::TempDir,
        root: PathBuf,
    }

    impl House {
        /// Files, folders (with a slash at the end) and links (`name -> target`).
        fn new(entries: &[&str]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path().canonicalize().unwrap();
            for entry in entries {
                if let Some((name, target)) = entry.split_once(" -> ") {
                    symlink(root.join(target), root.join(name)).unwrap();
                } else if entry.ends_with('/') {
                    fs::create_dir_all(root.join(entry)).unwrap();
                } else {
                    fs::write(root.join(entry), entry).unwrap();
                }
            }
            Self { directory, root }
        }

        fn paths(&self, names: &[&str]) -> Vec<PathBuf> {
            names.iter().map(|it| self.directory.path().join(it)).collect()
        }

        /// What is granted within the house, sorted.
        fn find(
            &self,
            here: &str,
            writable: &[&str],
            forbidden: &[&str],
        ) -> Result<Vec<String>, String> {
            let here = self.root.join(here);
            let rules = Confinement {
                writable: self.paths(writable),
                forbidden: self.paths(forbidden),
                ..Confinement::default()
            };
            let granted = find(&here, &rules).map_err(|err| err.to_string())?.whole;
            let mut inside: Vec<String> = granted
                .iter()
                .filter_map(|it| Some(it.strip_prefix(&self.root).ok()?.display().to_string()))
                .collect();
            // Nothing above it may be granted, or all of it is.
            assert!(!granted.iter().any(|it| self.root.starts_with(it) && *it != self.root));
            inside.sort();
            Ok(inside)
        }
    }

    #[test]
    fn what_is_forbidden_is_left_out_and_its_neighbours_are_not() {
        let house = House::new(&[
            "ca/secrets/",
            "ca/modules/one/",
            "ca/exeunt.toml",
            "ca/public/",
            "other/",
            "all -> ca",
        ]);
        let forbidden = ["ca/secrets", "ca/exeunt.toml", "ca/none.sock"];
        let granted = house.find("ca/modules/one", &[], &forbidden);
        assert_eq!(granted.unwrap(), ["ca/modules", "ca/modules/one", "ca/public", "other"]);
        let granted = house.find("ca/modules/one", &["ca/public"], &["ca"]);
        assert_eq!(granted.unwrap(), ["ca/modules/one", "ca/public", "other"]);
        // Named by a link, or twice.
        let granted = house.find("other", &["all/public"], &["all", "ca/secrets"]);
        assert_eq!(granted.unwrap(), ["ca/public", "other", "other"]);
        // In the home itself.
        assert_eq!(
            house.find("ca", &[], &["ca/secrets"]).unwrap(),
            ["ca/exeunt.toml", "ca/modules", "ca/public", "other"]
        );
    }

    #[test]
    fn a_grant_that_would_open_what_is_forbidden_is_refused() {
        let house = House::new(&[
            "ca/secrets/",
            "ca/mine/",
            "ca/mine/out -> ca/secrets",
            "out -> ca/secrets",
            "up -> ca",
        ]);
        let check = |here: &str, writable: &str, forbidden: &str, text: &str| {
            let err = house.find(here, &[writable], &[forbidden]).unwrap_err();
            assert!(err.ends_with(text), "{err}");
        };
        check("ca/mine", "ca", "ca/secrets", "something forbidden is in it");
        check("ca/mine", "up", "ca/secrets", "something forbidden is in it");
        check("ca/mine", "ca/secrets", "ca/secrets", "is to be writable, but forbidden");
        check("ca/mine", "ca/mine/out", "ca", "leads to something forbidden by a link");
        check("ca/mine", "out", "ca", "leads to something forbidden by a link");
        check("ca/mine", "ca/none", "ca", "does not exist");
        check("ca/secrets", "ca/mine", "ca/secrets", "is the working directory, but forbidden");
    }

    #[test]
    fn what_is_forbidden_twice_has_no_exceptions() {
        let house = House::new(&[
            "ca/",
            "ca/secrets/",
            "ca/secrets/deep/",
            "ca/mine/",
            "ca/mine/hook.py",
            "ca/secrets/key",
            "ca/mine/link -> ca/secrets/key",
        ]);
        let forbidden = house.paths(&["ca", "ca/secrets"]);
        let here = house.root.join("ca/mine");
        let find = |writable: &[&str], readable: &[&str]| {
            let rules = Confinement {
                writable: house.paths(writable),
                readable: house.paths(readable),
                forbidden: forbidden.clone(),
                ..Confinement::default()
            };
            find(&here, &rules).map_err(|err| err.to_string())
        };
        let grants = find(&[], &["ca/mine/hook.py"]).unwrap();
        assert_eq!(grants.readable, [here.join("hook.py")]);
        // What is not there yet, and what is no file.
        assert!(find(&[], &["ca/none", "ca/mine"]).unwrap().readable.is_empty());
        let rules = Confinement {
            writable_if_there: house.paths(&["ca/none", "ca/mine/hook.py", "ca/mine"]),
            forbidden: forbidden.clone(),
            ..Confinement::default()
        };
        let whole = super::find(&house.root, &rules).map(|it| it.whole);
        assert!(whole.is_ok_and(|it| it.last() == Some(&here)));
        assert!(grants.whole.contains(&here) && !grants.whole.contains(&house.root.join("ca")));
        for (writable, readable, text) in [
            (&["ca/secrets/deep"][..], &[][..], "is to be writable, but forbidden"),
            (&[], &["ca/secrets/key"], "is to be readable, but forbidden"),
            (&[], &["ca/mine/link"], "leads to something forbidden by a link"),
        ] {
            let err = find(writable, readable).unwrap_err();
            assert!(err.ends_with(text), "{err}");
        }
    }

    #[test]
    fn a_folder_to_read_is_one_that_nothing_forbidden_is_in_and_no_link_to_it() {
        let house = House::new(&[
            "ca/secrets/",
            "ca/lists/deep/",
            "ca/mine/",
            "ca/file",
            "ca/link -> ca/secrets",
        ]);
        let find = |folder: &str| {
            let rules = Confinement {
                readable_folders: house.paths(&[folder]),
                forbidden: house.paths(&["ca", "ca/secrets"]),
                ..Confinement::default()
            };
            find(&house.root.join("ca/mine"), &rules).map_err(|err| err.to_string())
        };
        let grants = find("ca/lists").unwrap();
        assert_eq!(grants.readable_folders, [house.root.join("ca/lists")]);
        assert!(!grants.whole.iter().any(|it| it.ends_with("lists")), "{grants:?}");
        assert!(grants.readable.is_empty());
        // What is not there yet, and what is no folder.
        for nothing in ["ca/none", "ca/file"] {
            assert!(find(nothing).unwrap().readable_folders.is_empty(), "{nothing}");
        }
        for (folder, text) in [
            ("ca", "is to be readable, but forbidden"),
            ("ca/secrets", "is to be readable, but forbidden"),
            ("ca/link", "leads to something forbidden by a link"),
            ("", "is to be readable, but something forbidden is in it"),
        ] {
            let err = find(folder).unwrap_err();
            assert!(err.ends_with(text), "{err}");
        }
    }
}
