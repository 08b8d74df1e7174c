//! The data files on the wire: what a server reports of them, and the commands that write them.

use std::collections::BTreeMap;

use redis::cmd;

use super::{Server, ServerError};

/// The data files of a server, as `INFO persistence` reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the server's answer")]
pub struct Files {
    /// Whether the server still reads its data.
    pub loading: bool,
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

/// Parses `name:value` lines; unknown names are ignored.
fn read(text: &str) -> Files {
    let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(':')).collect();
    let is = |field: &str, value: &str| fields.get(field) == Some(&value);
    Files {
        loading: is("loading", "1"),
        append_only: is("aof_enabled", "1"),
        rewriting: is("aof_rewrite_in_progress", "1") || is("aof_rewrite_scheduled", "1"),
        rewrite_failed: is("aof_last_bgrewrite_status", "err"),
        saving: is("rdb_bgsave_in_progress", "1"),
        save_failed: is("rdb_last_bgsave_status", "err"),
    }
}

impl Server {
    /// The state of the data files.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn files(&mut self) -> Result<Files, ServerError> {
        let text: String = self.ask(cmd("INFO").arg("persistence")).await?;
        Ok(read(&text))
    }

    /// Starts a snapshot in the background.
    ///
    /// # Errors
    /// [`ServerError::Refused`] if a child process is running or cannot be started, or if the server cannot be queried.
    pub async fn save_snapshot(&mut self) -> Result<(), ServerError> {
        self.ask(&cmd("BGSAVE")).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reports_its_files() {
        let text = "# Persistence\r\nloading:0\r\nrdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:err\r\naof_enabled:1\r\n\
             aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:1\r\naof_last_bgrewrite_status:err\r\n";
        let expected =
            Files { append_only: true, rewriting: true, rewrite_failed: true, save_failed: true, ..Files::default() };
        assert_eq!(read(text), expected);
        assert_eq!(read(""), Files::default());
    }
}
