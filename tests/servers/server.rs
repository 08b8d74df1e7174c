//! A server of its own for one configuration: the rendered files, unchanged but for the folder of the data and the address
//! (each server has one of its own on the loopback, so the port is the rendered one), and CONFIG over its connection.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use redis_operator::domain::{
    auth::Password,
    directives::{LINES, Line},
    names::{AUTH_CONF_KEY, AUTH_PATH, DATA_PATH, PORT},
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A binary of a release line.
#[derive(Clone)]
pub(crate) struct Release {
    pub(crate) binary: PathBuf,
    pub(crate) line: &'static Line,
    /// As `--version` has it: `8.1.8`.
    pub(crate) version: String,
    /// What the build can do beyond the table: with its own jemalloc it defragments.
    pub(crate) defragments: bool,
}

impl Release {
    /// Every server of the folder that `install.sh` fills.
    pub(crate) fn all() -> Vec<Self> {
        let folder = std::env::var_os("REDIS_SERVERS").expect("REDIS_SERVERS: run it with `just test-servers`");
        let mut releases: Vec<Self> = LINES
            .iter()
            .filter_map(|line| {
                let binary = PathBuf::from(&folder).join(line.title().replace(' ', "-"));
                binary.exists().then(|| Self::read(line, binary))
            })
            .collect();
        assert!(!releases.is_empty(), "no server in {}", folder.display());
        if let Ok(only) = std::env::var("SERVER") {
            releases.retain(|release| release.line.title() == only);
            assert!(!releases.is_empty(), "no server {only:?}");
        }
        releases
    }

    fn read(line: &'static Line, binary: PathBuf) -> Self {
        let said = String::from_utf8(Command::new(&binary).arg("--version").output().unwrap().stdout).unwrap();
        let version =
            said.split_once(" v=").and_then(|(_, rest)| rest.split(' ').next()).expect("a version").to_owned();
        let engine = said.split(' ').next().unwrap().to_lowercase();
        let ours = format!("{engine} {}", version.rsplit_once('.').unwrap().0);
        assert_eq!(ours, line.title(), "{}", binary.display());
        // Debian builds with the system's jemalloc, which lacks what defragmentation needs.
        let defragments = said.contains("malloc=jemalloc") && ours != "redis 7.0";
        Self { binary, line, version, defragments }
    }

    /// As `spec.image` names it: `redis:7.0.15`.
    pub(crate) fn image(&self) -> String {
        format!("{}:{}", self.line.engine, self.version)
    }
}

/// A running server; ends with this value.
pub(crate) struct Server {
    process: Child,
    stream: BufReader<TcpStream>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: Ipv4Addr,
    /// What clients and primaries are given; empty without authentication.
    pub(crate) password: Vec<u8>,
}

impl Server {
    /// Starts a server with the rendered file and connects.
    ///
    /// # Errors
    /// When it does not start, with what it said.
    pub(crate) fn start(release: &Release, conf: &str, password: Option<&Password>) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display();
        let address = address();
        let mut ours = replaced(conf, &format!("\ndir {DATA_PATH}\n"), &format!("\ndir {here}\n"));
        ours = replaced(&ours, "\nbind * -::*\n", &format!("\nbind {address}\n"));
        if let Some(password) = password {
            fs::write(folder.path().join(AUTH_CONF_KEY), password.conf()).unwrap();
            let include = |path: &str| format!("\ninclude {path}/{AUTH_CONF_KEY}\n");
            ours = replaced(&ours, &include(AUTH_PATH), &include(&here.to_string()));
        }
        let file = folder.path().join("redis.conf");
        fs::write(&file, ours).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        // It ends with this test, however that ends.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(&release.binary)
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let stream = loop {
            if let Ok(stream) = TcpStream::connect(SocketAddrV4::new(address, PORT.try_into().unwrap())) {
                break stream;
            }
            let ended = process.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() > DEADLINE {
                drop((process.kill(), process.wait()));
                let said = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                return Err(format!("{} does not start ({ended:?}) with\n{conf}\nand says\n{said}", release.image()));
            }
            pause();
        };
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let secret = password.map(|password| password.as_bytes().to_vec()).unwrap_or_default();
        let mut server = Self { process, stream: BufReader::new(stream), folder, address, password: secret.clone() };
        if password.is_some() {
            server.ask(&[b"AUTH", &secret])?;
        }
        Ok(server)
    }

    /// Every directive that the server shows, with its value.
    pub(crate) fn everything(&mut self) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let pairs = self.ask(&[b"CONFIG", b"GET", b"*"])?;
        Ok(pairs.chunks(2).map(|pair| (String::from_utf8(pair[0].clone()).unwrap(), pair[1].clone())).collect())
    }

    /// The value of one directive.
    pub(crate) fn config(&mut self, name: &str) -> Result<Vec<u8>, String> {
        match self.ask(&[b"CONFIG", b"GET", name.as_bytes()])?.as_slice() {
            [_, value] => Ok(value.clone()),
            other => Err(format!("CONFIG GET {name} is answered {other:?}")),
        }
    }

    fn ask(&mut self, words: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend_from_slice(word);
            request.extend(b"\r\n");
        }
        let said = |error: std::io::Error| format!("the connection ends: {error}");
        self.stream.get_mut().write_all(&request).map_err(said)?;
        self.answer()
    }

    /// One reply, arrays flattened.
    fn answer(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let said = |error: std::io::Error| format!("the connection ends: {error}");
        let mut head = String::new();
        self.stream.read_line(&mut head).map_err(said)?;
        let head = head.trim_end();
        let length = || head[1..].parse::<usize>().map_err(|_| format!("{head:?} has no length"));
        match head.as_bytes().first() {
            Some(b'+' | b':') => Ok(vec![head.as_bytes()[1..].to_vec()]),
            Some(b'$') => {
                let mut bulk = vec![0; length()? + 2];
                self.stream.read_exact(&mut bulk).map_err(said)?;
                bulk.truncate(bulk.len() - 2);
                Ok(vec![bulk])
            }
            Some(b'*') => {
                let replies: Result<Vec<_>, _> = (0..length()?).map(|_| self.answer()).collect();
                Ok(replies?.concat())
            }
            _ => Err(format!("the server answers {head:?}")),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "between two looks at the condition, which has a deadline")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_micros(200));
}

/// An address of the loopback that no other server is at: not even what is left of one that was killed, whose child may
/// still have its socket, nor one of another test run.
pub(crate) fn address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    let number = NEXT.fetch_add(1, Ordering::Relaxed) + process / 250 * 977;
    let octet = |number: u32| u8::try_from(number % 250).unwrap() + 2;
    Ipv4Addr::new(127, octet(process), octet(number / 250), octet(number))
}

/// The text with a line that must be there replaced.
fn replaced(text: &str, line: &str, by: &str) -> String {
    assert_eq!(text.matches(line).count(), 1, "{line:?} must stand once in\n{text}");
    text.replace(line, by)
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
