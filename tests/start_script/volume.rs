//! A data folder on which start.sh starts real servers, as the container does on its volume: start, probe, and the ways in
//! which a server ends. Knows no test.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::server::{Release, address};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/build/start.sh");
const LEAVE_SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/build/leave.sh");
/// How long anything may take before a test says what was missing.
const DEADLINE: Duration = Duration::from_secs(30);
const PORT: u16 = 6379;

/// The shell and the tools that the image has.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) shell: PathBuf,
    /// Where the tools are looked for; nothing: in the test's own `PATH`.
    pub(crate) path: Option<PathBuf>,
}

/// A folder of data, which outlives its servers.
pub(crate) struct Volume {
    folder: tempfile::TempDir,
    pub(crate) tools: Tools,
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Term,
    Kill,
}

/// A server that start.sh started. Dropping it kills it and what it forked.
pub(crate) struct Server {
    process: Child,
    stream: BufReader<TcpStream>,
    address: Ipv4Addr,
}

impl Volume {
    pub(crate) fn new(tools: &Tools) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        fs::copy(SCRIPT, folder.path().join("start.sh")).unwrap();
        Self { folder, tools: tools.clone() }
    }

    /// The path of a file of the volume.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// The folder around the data, which holds the configuration and the log.
    pub(crate) fn around(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    /// The data files by name, with their contents; what the script notes for itself is none.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in ["", "appendonlydir"] {
            for entry in fs::read_dir(self.path(folder)).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_file() && entry.file_name() != ".redis-operator" {
                    let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                    files.insert(name.trim_start_matches('/').to_owned(), fs::read(entry.path()).unwrap());
                }
            }
        }
        files
    }

    fn script(&self, release: &Release, before: &[&str]) -> Command {
        let mut command = Command::new(program(before[0]).expect("the program is installed"));
        command.args(&before[1..]).arg(&self.tools.shell).arg(self.folder.path().join("start.sh"));
        if let Some(path) = &self.tools.path {
            command.env("PATH", path);
        }
        command
            .env("REDIS_DATA", self.path(""))
            .env("REDIS_CONF", self.folder.path().join("redis.conf"))
            .env("REDIS_SERVER", &release.binary)
            .stdin(Stdio::null());
        command
    }

    fn configure(&self, address: Ipv4Addr, conf: &str) {
        let data = self.path("");
        let text = format!("bind {address}\nport {PORT}\ndir {}\nprotected-mode no\n{conf}\n", data.display());
        fs::write(self.folder.path().join("redis.conf"), text).unwrap();
    }

    /// Starts the server of a release; or why it did not start: what start.sh or the server said last.
    pub(crate) fn start(&self, release: &Release, conf: &str) -> Result<Server, String> {
        self.start_as(release, conf, &["setpriv", "--pdeathsig", "KILL"])
    }

    /// The same, by a command that runs the script as another user.
    pub(crate) fn start_as(&self, release: &Release, conf: &str, before: &[&str]) -> Result<Server, String> {
        let address = address();
        self.configure(address, conf);
        let log = self.folder.path().join("log");
        let file = fs::File::create(&log).unwrap();
        let mut command = self.script(release, before);
        command.process_group(0).stderr(file.try_clone().unwrap()).stdout(file);
        let mut process = command.spawn().unwrap();
        let begun = Instant::now();
        loop {
            // It listens before it reads its data, and may end while it does.
            if let Some(stream) = loaded(address) {
                return Ok(Server { process, stream, address });
            }
            if process.try_wait().unwrap().is_some() {
                return Err(fs::read_to_string(log).unwrap().trim_end().to_owned());
            }
            assert!(begun.elapsed() < DEADLINE, "{} neither starts nor ends", release.image());
            pause();
        }
    }

    /// Ends a server as the kubelet ends a container: `preStop`, and then SIGTERM once. Returns what the server logged.
    pub(crate) fn end_as_kubelet(&self, release: &Release, server: Server) -> String {
        let mut command = Command::new(&self.tools.shell);
        command
            .arg(LEAVE_SCRIPT)
            .env("REDIS_DATA", self.path(""))
            .env("REDIS_PROCESS", server.process.id().to_string());
        if let Some(path) = &self.tools.path {
            command.env("PATH", path);
        }
        command.env("POD_IP", server.address.to_string()).env("REDIS_PORT", PORT.to_string());
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}: leave.sh: {done:?}", release.image());
        server.end(End::Term);
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What the readiness probe does every two seconds.
    pub(crate) fn probe(&self, release: &Release, server: &mut Server) {
        let answer = server.ask("INFO persistence");
        self.note(release, &answer);
    }

    /// Has the script record which files are complete, by this answer of a server, before a deadline.
    pub(crate) fn note(&self, release: &Release, answer: &str) {
        let deadline = DEADLINE.as_secs().to_string();
        let done = self.script(release, &["timeout", &deadline]).args(["note", answer]).status().unwrap();
        assert!(done.success(), "{}: start.sh note: {done}", release.image());
    }

    /// Runs the script with a server that ends at once, before a deadline.
    pub(crate) fn starts_server(&self, release: &Release, conf: &str) {
        self.configure(address(), conf);
        let deadline = DEADLINE.as_secs().to_string();
        let done = self.script(release, &["timeout", &deadline]).env("REDIS_SERVER", "true").status().unwrap();
        assert!(done.success(), "{}: start.sh: {done}", release.image());
    }
}

impl Server {
    /// Sends one command of words without spaces or quotes; its whole answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        let line = exchange(&mut self.stream, command).unwrap();
        if let Some(length) = line.strip_prefix('$').and_then(|length| length.trim_end().parse::<usize>().ok()) {
            let mut bulk = vec![0; length + 2];
            self.stream.read_exact(&mut bulk).unwrap();
            return String::from_utf8(bulk).unwrap().trim_end().to_owned();
        }
        line.trim_end().to_owned()
    }

    /// The same, which has to succeed.
    pub(crate) fn run(&mut self, command: &str) {
        let answer = self.ask(command);
        assert!(!answer.starts_with('-') && !answer.is_empty(), "{command}: {answer}");
    }

    /// Where it can be reached.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Writes so many keys of this name.
    pub(crate) fn fill(&mut self, name: &str, count: u32) {
        for number in 0..count {
            self.run(&format!("SET {name}{number} v"));
        }
    }

    /// How many keys of this name there are, of so many.
    pub(crate) fn count(&mut self, name: &str, count: u32) -> u32 {
        let names: Vec<String> = (0..count).map(|number| format!("{name}{number}")).collect();
        self.ask(&format!("EXISTS {}", names.join(" "))).trim_start_matches(':').parse().unwrap()
    }

    /// Whether `INFO persistence` has all of these.
    pub(crate) fn reports(&mut self, fields: &[&str]) -> bool {
        let info = self.ask("INFO persistence");
        fields.iter().all(|field| info.lines().any(|line| line.trim_end() == *field))
    }

    /// Waits until no file is being written any more.
    pub(crate) fn completes(&mut self) {
        let idle = ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0", "rdb_bgsave_in_progress:0"];
        self.until("complete files", |server| server.reports(&idle));
    }

    pub(crate) fn until(&mut self, what: &str, mut met: impl FnMut(&mut Self) -> bool) {
        let begun = Instant::now();
        while !met(self) {
            assert!(begun.elapsed() < DEADLINE, "no {what} within {DEADLINE:?}: {}", self.ask("INFO persistence"));
            pause();
        }
    }

    /// Ends it; SIGKILL takes what it forked along, as the end of a container does.
    pub(crate) fn end(mut self, how: End) {
        if how == End::Term {
            assert!(Command::new("kill").arg(self.process.id().to_string()).status().unwrap().success());
            let begun = Instant::now();
            while self.process.try_wait().unwrap().is_none() {
                assert!(begun.elapsed() < DEADLINE, "the server does not end on SIGTERM");
                pause();
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(
            Command::new("kill")
                .args(["-KILL", "--", &format!("-{}", self.process.id())])
                .stderr(Stdio::null())
                .status(),
        );
        drop(self.process.wait());
    }
}

/// A connection to a server that has its data; nothing if it does not answer or still reads them.
fn loaded(address: Ipv4Addr) -> Option<BufReader<TcpStream>> {
    let stream = TcpStream::connect((address, PORT)).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    stream.set_nodelay(true).ok()?;
    let mut stream = BufReader::new(stream);
    exchange(&mut stream, "PING").is_ok_and(|answer| answer.starts_with("+PONG")).then_some(stream)
}

/// Sends one command; the first line of the answer.
fn exchange(stream: &mut BufReader<TcpStream>, command: &str) -> std::io::Result<String> {
    stream.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(line)
}

/// Where a program is on the test's own `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|at| at.join(name)).find(|path| path.exists())
}

#[expect(clippy::disallowed_methods, reason = "between two looks at the condition, which has a deadline")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
