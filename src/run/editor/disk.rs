//! The operator's files on disk: whose they are, whether they are still those in force, and a new
//! text in a file's place.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::api::edits::Refused;
use crate::config::Config;
use crate::config::editable::{self, EditProblem};
use crate::io::lock::{Lock, LockError};
use crate::run::editor::{told, unkept};

/// What a problem of a file is told of, instead of one of its keys.
const FILE: &str = "(file)";

/// Makes this process the only one that may change the strategies' files, for as long as it holds
/// the lock. `Err` says why it may change none.
pub(in crate::run) fn own_folder(config: &Config) -> Result<Lock, EditProblem> {
    let mut files = config.strategies.iter().filter_map(|own| editable::file_of(config, own.id()));
    let Some(folder) = files.find_map(Path::parent) else {
        return Err(EditProblem::new(FILE, "no strategy has a file", "add one and start again"));
    };
    Lock::folder(folder).map_err(|error| match error {
        LockError::Held { .. } => {
            let problem = format!("another keeper owns {}", folder.display());
            let fix = "change numbers on its page, or end it and start this one again";
            EditProblem::new(FILE, problem, fix)
        }
        LockError::Io { source, .. } => {
            let problem = format!("{} cannot be locked: {source}", folder.display());
            EditProblem::new(FILE, problem, "let the keeper read that folder, and start again")
        }
    })
}

/// Every file on disk that is not as it is in force.
pub(super) fn changed(files: &[(PathBuf, String)]) -> impl Iterator<Item = EditProblem> {
    files.iter().filter_map(|(path, text)| {
        let (what, fix) = match fs::read_to_string(path) {
            Ok(now) if now == *text => return None,
            Ok(_) => (
                "was changed by hand since the start".to_owned(),
                "start the keeper again, so that the files as they stand are in force",
            ),
            Err(error) => (format!("cannot be read: {error}"), "mend that"),
        };
        Some(EditProblem::new(FILE, format!("{} {what}", path.display()), fix))
    })
}

/// Why a file's place cannot be taken, when that can be told beforehand.
pub(super) fn unwritable(file: &Path) -> Option<EditProblem> {
    // What a link leads to is replaced, as by a draft.
    let place = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = place.parent()?;
    let error = access(folder, AccessFlags::W_OK | AccessFlags::X_OK).err()?;
    let problem = format!("{} cannot be written: {}", folder.display(), error.desc());
    let fix = "let the keeper's user write there (ops/README.md, Install), or change the file by \
               hand and start again";
    Some(EditProblem::new(FILE, problem, fix))
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("writing {}: {error}", path.display()))
}

/// A file's new text beside it, on disk; gone again unless it takes the file's place.
pub(super) struct Draft {
    place: PathBuf,
    scrap: PathBuf,
}

impl Draft {
    /// Writes it.
    pub(super) fn write(file: &Path, text: &str) -> io::Result<Self> {
        // A link stays a link: what it leads to is replaced.
        let place = fs::canonicalize(file).map_err(|error| named(file, error))?;
        let draft = Self { scrap: place.with_extension("toml.new"), place };
        let fill = || {
            let rights = fs::metadata(&draft.place)?.permissions();
            let mut file = File::create(&draft.scrap)?;
            file.set_permissions(rights)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        fill().map_err(|error| named(&draft.scrap, error))?;
        Ok(draft)
    }

    /// Puts it in the file's place, unless a hand was faster: `files` are those in force.
    pub(super) fn take_its_place(self, files: &[(PathBuf, String)]) -> Result<(), Refused> {
        if let Some(problem) = changed(files).next() {
            return Err(Refused::Conflict(told(&problem)));
        }
        let renamed = fs::rename(&self.scrap, &self.place);
        renamed.map_err(|error| unkept(&named(&self.place, error)))?;
        // The file has the new text; without this a power cut might still bring the old one back.
        let folder = self.place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
        if let Err(error) = folder {
            let file = self.place.display();
            tracing::warn!(%error, %file, "a power cut may still undo the change");
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After it took its place nothing is there any more.
        let _ = fs::remove_file(&self.scrap);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A folder of a test's own.
    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("tk-{name}-{}", std::process::id()));
        fs::create_dir(&dir).expect("a scratch folder");
        dir
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).expect("it can be read")
    }

    #[test]
    fn a_draft_takes_its_place_or_leaves_nothing() {
        let dir = scratch("draft");
        let (file, link) = (dir.join("lp.toml"), dir.join("link.toml"));
        fs::write(&file, "old").expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("its rights");
        symlink(&file, &link).expect("a link");
        let names = || fs::read_dir(&dir).expect("the folder").count();
        let in_force = [(link.clone(), "old".to_owned())];

        drop(Draft::write(&file, "new").expect("it can be written"));
        assert_eq!((text(&file).as_str(), names()), ("old", 2));

        let draft = Draft::write(&link, "new").expect("it can be written");
        draft.take_its_place(&in_force).expect("it can be renamed");
        assert_eq!((text(&file).as_str(), names()), ("new", 2));
        let rights = fs::metadata(&file).expect("it is there").permissions();
        assert_eq!(rights.mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());

        let nowhere = Draft::write(&dir.join("no.toml"), "new").map(drop);
        assert!(nowhere.is_err_and(|error| error.to_string().contains("no.toml")));
        fs::remove_dir_all(&dir).expect("it can be removed");
    }

    #[test]
    fn a_draft_is_not_put_over_what_a_hand_wrote_meanwhile() {
        let dir = scratch("hand");
        let (file, other) = (dir.join("lp.toml"), dir.join("agent.toml"));
        let in_force = [(file.clone(), "old".to_owned()), (other.clone(), "other".to_owned())];
        let put = |by_hand: &Path| {
            in_force.iter().for_each(|(path, text)| fs::write(path, text).expect("a file"));
            let draft = Draft::write(&file, "new").expect("it can be written");
            fs::write(by_hand, "by hand").expect("a hand can write");
            let refused = draft.take_its_place(&in_force).expect_err("a hand was faster");
            let name = by_hand.display().to_string();
            assert!(
                matches!(&refused, Refused::Conflict(why) if why.contains(&name)),
                "{refused:?}"
            );
            assert_eq!(text(by_hand), "by hand");
            assert_eq!(fs::read_dir(&dir).expect("the folder").count(), 2);
        };
        put(&file);
        put(&other);
        assert_eq!(text(&file), "old");
        fs::remove_dir_all(&dir).expect("it can be removed");
    }

    #[test]
    fn every_file_that_is_not_as_it_was_is_named() {
        let dir = scratch("changed");
        let files = ["a.toml", "b.toml", "c.toml"].map(|name| (dir.join(name), name.to_owned()));
        files.iter().for_each(|(path, text)| fs::write(path, text).expect("a file"));
        assert_eq!(changed(&files).count(), 0);
        fs::write(&files[1].0, "other").expect("it can be written");
        fs::remove_file(&files[2].0).expect("it can be removed");
        let told: Vec<EditProblem> = changed(&files).collect();
        let [by_hand, gone] = told.as_slice() else { panic!("{told:?}") };
        assert!(by_hand.problem.contains("b.toml was changed by hand"), "{by_hand:?}");
        assert!(gone.problem.contains("c.toml cannot be read"), "{gone:?}");
        fs::remove_dir_all(&dir).expect("it can be removed");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_beforehand() {
        let dir = scratch("rights");
        let file = dir.join("lp.toml");
        fs::write(&file, "old").expect("a file");
        assert_eq!(unwritable(&file), None);
        let nowhere = unwritable(&dir.join("gone/lp.toml")).expect("there is no such folder");
        assert_eq!(nowhere.key, FILE);
        assert!(nowhere.problem.contains("gone cannot be written"), "{nowhere:?}");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o555)).expect("its rights");
        // Rights do not bind root.
        assert!(unwritable(&file).is_some() || nix::unistd::geteuid().is_root());
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("its rights");
        fs::remove_dir_all(&dir).expect("it can be removed");
    }
}
