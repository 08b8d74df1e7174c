//! The steps by which a running server switches to other data files, from the state that it reports. A restart with
//! another `appendonly` or `save` before the new files are complete would lose data.

/// The directives that decide which data files a server writes.
pub const DIRECTIVES: [&str; 2] = ["appendonly", "save"];

/// Whether this directive, by its own name, decides which data files a server writes.
#[must_use]
pub fn decides_files(directive: &str) -> bool {
    DIRECTIVES.contains(&directive)
}

/// The data files of a server, as `INFO persistence` reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the server's answer")]
pub struct Files {
    /// Whether the append-only file is on; its first rewrite may still run.
    pub append_only: bool,
    /// Whether the append-only file is being rewritten, or will be soon.
    pub rewriting: bool,
    /// Whether the last rewrite failed.
    pub rewrite_failed: bool,
    /// Whether a snapshot is being saved.
    pub saving: bool,
    /// Whether the last snapshot failed.
    pub save_failed: bool,
}

/// The progress on one run of one server. It may be lost: the steps are then repeated, which is harmless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was requested.
    #[default]
    Unknown,
    /// A snapshot was requested while the append-only file is on, to see whether one can be saved.
    Trial,
    /// The append-only file is off; `true` if it has been off long enough to compare the times of file and snapshot.
    Off(bool),
    /// A snapshot was requested after that.
    Final,
}

/// The next step for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The files are complete.
    Done,
    /// `CONFIG SET appendonly yes`.
    Enable,
    /// `CONFIG SET appendonly no`.
    Disable,
    /// `BGSAVE`; the stage after it.
    Snapshot(Stage),
    /// The server is at work.
    Wait(&'static str),
    /// The file could not be written, which is tried again.
    Failed(&'static str),
}

/// The next step towards `append_only`. `changing`: whether redis.conf on disk still has another value.
#[must_use]
pub const fn next(append_only: bool, files: Files, stage: Stage, changing: bool) -> Step {
    if append_only {
        return match files {
            Files { append_only: false, .. } => Step::Enable,
            // Redis tries again until the first rewrite succeeds.
            Files { rewriting: true, rewrite_failed: true, .. } => Step::Failed("could not write its append-only file"),
            Files { rewriting: true, .. } => Step::Wait("writes its append-only file"),
            _ => Step::Done,
        };
    }
    match (files.append_only, stage) {
        (true, Stage::Trial) | (false, Stage::Final) if files.saving => Step::Wait("saves a snapshot"),
        (true, Stage::Trial) | (false, Stage::Final) if files.save_failed => Step::Failed("could not save a snapshot"),
        (true, Stage::Trial) => Step::Disable,
        (false, Stage::Final) => Step::Done,
        (false, Stage::Unknown | Stage::Trial) if !changing => Step::Done,
        (false, Stage::Unknown | Stage::Trial | Stage::Off(false)) => Step::Wait("has its append-only file off"),
        (true, _) | (false, Stage::Off(true)) if files.saving || files.rewriting => {
            Step::Wait("completes an earlier snapshot or rewrite")
        }
        (true, _) => Step::Snapshot(Stage::Trial),
        (false, Stage::Off(true)) => Step::Snapshot(Stage::Final),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_append_only_file_is_complete_after_its_first_rewrite() {
        let on = Files { append_only: true, ..Files::default() };
        for (files, expected) in [
            (Files::default(), Step::Enable),
            (Files { rewriting: true, ..on }, Step::Wait("writes its append-only file")),
            (
                Files { rewriting: true, rewrite_failed: true, ..on },
                Step::Failed("could not write its append-only file"),
            ),
            (Files { rewrite_failed: true, ..on }, Step::Done),
            (on, Step::Done),
        ] {
            assert_eq!(next(true, files, Stage::Unknown, true), expected, "{files:?}");
        }
    }

    #[test]
    fn an_append_only_file_is_given_up_for_a_snapshot_that_is_newer() {
        let on = Files { append_only: true, ..Files::default() };
        let off = Files::default();
        for (files, stage, expected) in [
            (on, Stage::Unknown, Step::Snapshot(Stage::Trial)),
            (Files { rewriting: true, ..on }, Stage::Unknown, Step::Wait("completes an earlier snapshot or rewrite")),
            (Files { saving: true, ..on }, Stage::Trial, Step::Wait("saves a snapshot")),
            (Files { save_failed: true, ..on }, Stage::Trial, Step::Failed("could not save a snapshot")),
            (on, Stage::Trial, Step::Disable),
            (off, Stage::Unknown, Step::Wait("has its append-only file off")),
            (off, Stage::Off(false), Step::Wait("has its append-only file off")),
            (Files { saving: true, ..off }, Stage::Off(true), Step::Wait("completes an earlier snapshot or rewrite")),
            (off, Stage::Off(true), Step::Snapshot(Stage::Final)),
            (Files { save_failed: true, ..off }, Stage::Final, Step::Failed("could not save a snapshot")),
            (off, Stage::Final, Step::Done),
        ] {
            assert_eq!(next(false, files, stage, true), expected, "{files:?} {stage:?}");
        }
        assert_eq!(next(false, off, Stage::Unknown, false), Step::Done);
    }
}
