//! Mutates valid requests.

/// A pseudo-random generator (xorshift64*) whose sequence a seed repeats.
pub struct Generator(u64);

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from((self.next_u64() >> 11) % bound).unwrap()
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<'a>(&mut self, all: &[&'a [u8]]) -> &'a [u8] {
        all[self.below(all.len())]
    }
}

/// A valid request.
#[derive(Clone)]
pub struct ValidRequest {
    pub method: String,
    pub target: String,
    pub cookie: String,
}

const WORDS: &[&[u8]] = &[
    b"%00",
    b"%",
    b"%2",
    b"%zz",
    b"%ff%fe",
    b"%f0%9f%98%80",
    b"//",
    b"..",
    b"/../",
    b"\\",
    b"&",
    b"=",
    b"&&==",
    b"?",
    b"#",
    b"+",
    b"%26",
    b"%3d",
    b"state=",
    b"code=",
    b"&iss=x",
    b"&state=1&state=2",
    b"{}",
    b"[]",
    b"'",
    b"\"",
    b"<script>",
    b"${jndi:x}",
    b"-1",
    b"0",
    b"99999999999999999999",
    b"true",
    b"null",
    b"NaN",
    b"google",
    b"oidc",
    b"v1.test.",
    b"v2.",
    b"__Host-latchkey-flow-",
    b"__Host-latchkey-session=",
    b";",
    b"; ",
    b",",
    b"@",
    b":",
    b"\xc3\x28",
    b"\xff",
    b"\x7f",
    b"returnTo=//evil.example",
    b"workspaceId=",
    b"prompt=consent",
    b"locale=",
    b"loginHint=@",
];

const METHODS: &[&[u8]] = &[
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"PROPFIND",
    b"get",
    b"X",
];

const HEADERS: &[&[u8]] = &[
    b"Accept: application/json",
    b"Accept: text/html",
    b"Accept: */*;q=x",
    b"Origin: null",
    b"Origin: https://auth.test.example",
    b"Origin: ://",
    b"Sec-Fetch-Site: cross-site",
    b"Referer: https://app.test.example/",
    b"Referer: %%%",
    b"X-Forwarded-For: 1, 2, ::3, x",
    b"X-Forwarded-Host: evil.example",
    b"Forwarded: for=\"[::1]\";host=x",
    b"Range: bytes=0-,-1",
    b"If-None-Match: *",
    b"If-Modified-Since: never",
    b"Authorization: Bearer x.y.z",
    b"Authorization: Basic !!!!",
    b"Content-Type: application/json; charset=\xff",
    b"Content-Type: multipart/form-data",
    b"traceparent: 00-00000000000000000000000000000000-0-0",
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"tracestate: a=b,,,=",
    b"Expect: 100-continue",
    b"Upgrade: websocket",
    b"Accept-Language: de;q=2, \xff",
    b"X: \xff\xfe",
];

/// Mutates a text, and inserts at most `longest` bytes at once.
fn mutate(random: &mut Generator, text: &[u8], longest: usize) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..=random.below(4) {
        let place = random.below(text.len() + 1);
        match random.below(6) {
            0 if place < text.len() => text[place] ^= 1 << random.below(8),
            1 if place < text.len() => {
                let end = (place + 1 + random.below(12)).min(text.len());
                text.drain(place..end);
            }
            2 => {
                let end = (place + random.below(40)).min(text.len());
                let again = text[place..end].to_vec();
                text.splice(place..place, again);
            }
            3 if random.one_in(20) => {
                let long = vec![b'a'; random.below(longest)];
                text.splice(place..place, long);
            }
            _ => {
                let word = random.pick(WORDS).to_vec();
                text.splice(place..place, word);
            }
        }
    }
    text
}

/// Returns the bytes of the next request.
pub fn request(random: &mut Generator, sample: &ValidRequest) -> Vec<u8> {
    let method = if random.one_in(8) {
        random.pick(METHODS)
    } else {
        sample.method.as_bytes()
    };
    let (path, query) = sample
        .target
        .split_once('?')
        .unwrap_or((&sample.target, ""));
    let mut target = path.as_bytes().to_vec();
    if random.one_in(30) {
        target = mutate(random, &target, 100);
    }
    if !query.is_empty() || random.one_in(2) {
        target.push(b'?');
        let query = if random.one_in(10) {
            query.as_bytes().to_vec()
        } else {
            mutate(random, query.as_bytes(), 12_000)
        };
        target.extend(query);
    }
    target.retain(|byte| !matches!(byte, b' ' | b'\r' | b'\n'));
    let mut request = Vec::new();
    request.extend(method);
    request.push(b' ');
    request.extend(&target);
    request.extend(b" HTTP/1.1\r\nHost: auth.test.example\r\n");
    if !random.one_in(4) {
        let mut cookie = sample.cookie.as_bytes().to_vec();
        if random.one_in(2) {
            cookie = mutate(random, &cookie, 30_000);
        }
        cookie.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
        request.extend(b"Cookie: ");
        request.extend(cookie);
        request.extend(b"\r\n");
    }
    for _ in 0..random.below(4) {
        request.extend(random.pick(HEADERS));
        request.extend(b"\r\n");
    }
    let body = match random.below(8) {
        0 => mutate(random, b"{\"a\":1}", 20_000),
        1 => mutate(random, b"code=x&a=b", 20_000),
        _ => Vec::new(),
    };
    if !body.is_empty() || method == b"POST" {
        request.extend(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    request.extend(b"\r\n");
    request.extend(body);
    request
}
