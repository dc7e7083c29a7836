//! A client that speaks just enough HTTP, and can send what no library sends.

use super::*;

/// A request, written out by hand so that it can be a wrong one.
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    bytes_withheld: usize,
    is_signed: bool,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            headers: vec![("host".into(), "localhost".into())],
            body: Vec::new(),
            bytes_withheld: 0,
            is_signed: true,
        }
    }

    /// A post of JSON, as yet without a nonce.
    pub(crate) fn post(path: &str, body: &[u8]) -> Self {
        let mut request = Self::new("POST", path).header("content-type", "application/json");
        request.body = body.to_vec();
        request
    }

    /// Signed by this key, with a fresh nonce.
    pub(crate) fn signed_by(self, key: &SigningKey) -> Self {
        let nonce = id();
        let signature = self.facts(&nonce).sign(key);
        self.header(NONCE_HEADER, &nonce).header(DEVICE_SIGNATURE_HEADER, &signature)
    }

    /// With a fresh nonce, and its HMAC under this report key.
    pub(crate) fn tagged_by(self, key: &ReportKey) -> Self {
        let nonce = id();
        let tag = self.facts(&nonce).tag(key);
        self.header(NONCE_HEADER, &nonce)
            .header(REPORT_KEY_ID_HEADER, &key.id())
            .header(REPORT_TAG_HEADER, &tag)
    }

    /// With a proof of nobody's: the headers as they stand.
    pub(crate) fn unproven(mut self) -> Self {
        self.is_signed = false;
        self
    }

    pub(crate) fn facts(&self, nonce: &str) -> RequestFacts {
        RequestFacts::new(&self.path, nonce, &self.body)
    }

    /// Requests that name a device are signed by its key, unless they have another proof.
    pub(crate) fn sign(self) -> Self {
        let is_there = |name| self.headers.iter().any(|(known, _)| known == name);
        if !self.is_signed || is_there(DEVICE_SIGNATURE_HEADER) || is_there(REPORT_TAG_HEADER) {
            return self;
        }
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let nonce = self.headers.iter().find(|(name, _)| name == NONCE_HEADER);
        let (Some((_, nonce)), Some(uuid)) = (nonce, body["device"]["uuid"].as_str()) else {
            return self;
        };
        let signature = self.facts(nonce).sign(&device_key(uuid));
        self.header(DEVICE_SIGNATURE_HEADER, &signature)
    }

    /// A request of the admin API.
    pub(crate) fn json(method: &str, path: &str, body: &str) -> Self {
        Self { method: method.into(), ..Self::post(path, body.as_bytes()) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Promises this many bytes more than are sent.
    pub(crate) fn withhold(mut self, bytes: usize) -> Self {
        self.bytes_withheld = bytes;
        self
    }

    pub(crate) fn send(self, address: SocketAddr) -> Answer {
        self.try_send(address).unwrap()
    }

    /// `None` when the connection broke.
    pub(crate) fn try_send(self, address: SocketAddr) -> Option<Answer> {
        self.sign().exchange(address)
    }

    fn exchange(self, address: SocketAddr) -> Option<Answer> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        self.over(&mut stream)
    }

    /// Sends it as it is over this connection; `None` when the connection broke.
    pub(crate) fn over(self, stream: &mut (impl Read + Write)) -> Option<Answer> {
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = self.body.len() + self.bytes_withheld;
        head.push_str(&format!("content-length: {length}\r\n\r\n"));
        let mut sent = head.into_bytes();
        sent.extend_from_slice(&self.body);
        // A server that refuses a body need not read it: then writing fails, and the answer is
        // there.
        let _ = stream.write_all(&sent);
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes);
        Answer::parse(&bytes).filter(|_| ended.is_ok())
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let body = bytes[end + 4..].to_vec();
        let answer = Self { status, headers, body };
        // An answer without content has no length.
        let length = if answer.status == 204 { "0" } else { answer.header("content-length")? };
        let length: usize = length.parse().ok()?;
        (answer.body.len() == length).then_some(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The names of the headers, in lower case.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> + Clone {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn verify(
        &self,
        request_body: &[u8],
        nonce: &str,
        key: &PublicKey,
    ) -> Result<(), String> {
        let header = |name| self.header(name).ok_or(format!("no header {name}"));
        let facts = AnswerFacts {
            request_body,
            nonce,
            status: self.status,
            server_time: header(TIME_HEADER)?.parse().map_err(|_| "time")?,
            key_id: header(KEY_ID_HEADER)?,
        };
        facts.verify(&self.body, header(SIGNATURE_HEADER)?, key).map_err(|e| e.to_string())
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Reads a problem, and checks that it is told as RFC 9457 wants it.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let mut told: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        // The admin API tells no number of an error.
        told.as_object_mut().unwrap().entry("code").or_insert(0.into());
        let problem: Problem = serde_json::from_value(told).unwrap();
        assert_eq!(problem.status, self.status);
        assert!(!problem.detail.is_empty() && !problem.title.is_empty());
        problem
    }
}
