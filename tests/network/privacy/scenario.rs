//! A scenario with known contents, names and addresses: what a device sends in it, and what it must
//! keep to itself.

use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::GrayImage;
use seatmeter_e2e::dialogue::Dialogue;
use seatmeter_e2e::program::Program;
use seatmeter_e2e::server::{Server, doctor_amid};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::recorder::{Exchange, Recorder};
use super::search::Search;

/// What leaves the device because it is meant to.
pub(super) const FRIENDLY_NAME: &str = "Front desk of Zürich";
pub(super) const PASSWORD: &str = "open-sesame-4711";
pub(super) const APPLICATION: &str = "com.example.till";
pub(super) const EXECUTABLE: &str = "till-number-17";

const IN_FILE: &str = "PARCEL 7781 for Greta Mustermann";
const IN_MEMORY: &str = "https://example.org/ticket/90210?seat=K12";
const IN_PIXELS: &str = "4006381333931";
const IN_FRAMES: &str = "WIFI:S:Back office;P:correct-horse;;";
const COUNTED: &str = "counted-content-5512";

const HOST: &str = "laboratory-host-3";
const VARIABLES: [(&str, &str); 7] = [
    ("HOME", "/home/greta-of-accounting"),
    ("USER", "greta.mustermann"),
    ("LOGNAME", "greta-logs-in"),
    ("HOSTNAME", "workstation-0815.corp.example"),
    ("API_TOKEN", "sk-3c59dc048e8850243be8079a5c74d079"),
    ("SSH_CLIENT", "203.0.113.77 50022 22"),
    ("CUSTOMER", "Mustermann & Söhne"),
];
const ARGUMENT: &str = "--order=Order of 17 May";

/// Everything that was recorded, and the search for everything that must not be in it.
pub(super) struct Recorded {
    pub(super) exchanges: Vec<Exchange>,
    /// What the doctor has sent for the same device.
    pub(super) of_doctor: Vec<Exchange>,
    pub(super) search: Search,
    /// The ports to which the programs connected.
    pub(super) destinations: Vec<u16>,
    pub(super) recorder_port: u16,
}

struct Scene {
    program: Program,
    folder: TempDir,
    recorder: Recorder,
    search: Search,
}

impl Scene {
    /// Start a program of this name on the device of this name.
    fn start(&self, executable: &str, device: &str) -> Dialogue {
        let path = self.program.state().with_file_name("programs-of-accounting").join(executable);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        if !path.exists() {
            std::fs::hard_link(self.program.state().with_file_name("program"), &path).unwrap();
        }
        let like = self.program.command(&format!("http://localhost:{}", self.recorder.port));
        let mut command = Command::new(&path);
        command.env_clear();
        command.envs(like.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("SEATMETER_STATE_DIR", self.state(device)).envs(VARIABLES);
        command.arg(ARGUMENT).current_dir(self.folder.path());
        // SAFETY: the calls are safe after fork, and their pointer is to a constant.
        unsafe {
            command.pre_exec(|| {
                // Without the right to it, the host keeps its name.
                if libc::unshare(libc::CLONE_NEWUTS) == 0 {
                    libc::sethostname(HOST.as_ptr().cast(), HOST.len());
                }
                Ok(())
            });
        }
        Dialogue::start(command)
    }

    fn state(&self, device: &str) -> PathBuf {
        self.folder.path().join(format!("state-of-{device}"))
    }

    fn picture(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let picture = symbol_of(content);
        if name.ends_with(".pgm") {
            let head = format!("P5 {} {} 255\n", picture.width(), picture.height());
            std::fs::write(&path, [head.as_bytes(), picture.as_raw()].concat()).unwrap();
        } else {
            picture.save(&path).unwrap();
        }
        path
    }
}

fn symbol_of(content: &str) -> GrayImage {
    let barcode =
        zxingcpp::create(zxingcpp::BarcodeFormat::QRCode).from_slice(content.as_bytes()).unwrap();
    let image = barcode.to_image_with(&zxingcpp::write().scale(4).add_quiet_zones(true)).unwrap();
    let (width, height) = (image.width().cast_unsigned(), image.height().cast_unsigned());
    GrayImage::from_raw(width, height, image.data()).unwrap()
}

fn is(program: &mut Dialogue, line: &str, answer: &str) {
    assert_eq!(program.ask(line), answer, "{line}");
}

fn items() -> Value {
    json!([
        { "item_id": "seats", "charge_way": "concurrent_instance", "quota": 20,
          "deployment_types": ["server"], "products": 0xffff },
        { "item_id": "scans", "charge_way": "barcode_scan", "quota": 100_000, "strict": true,
          "deployment_types": ["server", "desktop"], "products": 0xffff },
    ])
}

/// Play the scenario.
pub(super) fn play() -> Recorded {
    let mut server = Server::with_items_and_clock(&items());
    let recorder = Recorder::before(server.url());
    let folder = tempfile::Builder::new().prefix("quarterly-invoices-").tempdir().unwrap();
    let program = Program::compile("tests/c/host_privacy.c");
    let mut scene = Scene { program, folder, recorder, search: Search::new() };
    let mut first = scene.start(EXECUTABLE, "reception");
    keep_to_itself(&mut scene, &first.ask("host"));

    is(&mut first, &format!("name {FRIENDLY_NAME}"), "0");
    is(&mut first, "init 10 4 - -", "0");
    read_pictures(&mut scene, &mut first);
    is(&mut first, &format!("count {COUNTED}"), "0");
    // A report and a renewal.
    is(&mut first, "sync", "0");
    // Another program on the same device, with another license and other credentials.
    let mut second = scene.start("stock-taker", "reception");
    is(&mut second, &format!("init 2 1 {PASSWORD} {APPLICATION}"), "0");
    is(&mut second, &format!("count {COUNTED}"), "0");
    is(&mut second, "sync", "0");
    // More than was set aside, so that the next request says how much is needed.
    is(&mut second, "scans 60000", "-20120");
    is(&mut second, "sync", "0");
    is(&mut first, "sync", "0");
    let mut destinations = go_without_server(&scene, &mut first, &mut second);
    // A refusal, on another device.
    let mut third = scene.start("stock-taker", "stranger");
    is(&mut third, "init 10 1 - - NO-SUCH-CODE", "-20101");
    destinations.extend(connections(&mut third));
    destinations.extend(visit(&scene));
    destinations.extend(lose_power(&scene));
    forget(&mut server);
    is(&mut first, &format!("count {COUNTED}"), "0");
    is(&mut first, "sync", "0");
    for program in [&mut first, &mut second] {
        is(program, "shutdown", "0");
        destinations.extend(connections(program));
    }
    destinations.extend(begin_anew(&scene, &server));
    let exchanges = scene.recorder.exchanges();
    let url = format!("http://localhost:{}", scene.recorder.port);
    let run = doctor_amid(&VARIABLES, &scene.state("reception"), &["--server", &url]);
    assert!(run.stdout.contains("licensing"), "{}", run.stdout);
    let of_doctor = scene.recorder.exchanges().split_off(exchanges.len());
    let Scene { search, recorder, .. } = scene;
    Recorded { exchanges, of_doctor, search, destinations, recorder_port: recorder.port }
}

fn read_pictures(scene: &mut Scene, program: &mut Dialogue) {
    for (how, name, content) in [
        ("file", "delivery-note-of-mustermann.png", IN_FILE),
        ("memory", "boarding-pass.png", IN_MEMORY),
        ("pixels", "shelf-label.pgm", IN_PIXELS),
        ("frames", "camera-of-back-office.pgm", IN_FRAMES),
    ] {
        let path = scene.picture(name, content);
        let stem = name.split('.').next().unwrap();
        for (what, text) in [("path", path.to_str().unwrap()), ("name", name), ("stem", stem)] {
            scene.search.add(&format!("the {what} of {name}"), text.as_bytes());
        }
        // The searched text is what was read in truth.
        is(program, &format!("{how} {}", path.display()), &format!("0 1 {content}"));
        scene.search.add_content(&format!("the content for {how}"), content, ("QR_CODE", 1 << 26));
    }
}

/// Count and start while there is no server, be killed, and report later.
fn go_without_server(scene: &Scene, first: &mut Dialogue, second: &mut Dialogue) -> Vec<u16> {
    scene.recorder.open(false);
    is(first, &format!("count {COUNTED}"), "0");
    is(first, "sync", "-20200");
    is(second, &format!("count {COUNTED}"), "0");
    let mut killed = scene.start("stock-taker", "reception");
    is(&mut killed, "init 10 4 - -", "0");
    is(&mut killed, &format!("count {COUNTED}"), "0");
    is(&mut killed, "sync", "-20200");
    let destinations = connections(&mut killed);
    killed.kill();
    scene.recorder.open(true);
    is(first, "sync", "0");
    is(second, "sync", "0");
    destinations
}

/// Let the server begin a new epoch, so that devices show it again what they have.
fn forget(server: &mut Server) {
    server.kill();
    server.operate(&["new-epoch"]);
    server.start_again();
}

/// Let a third device be licensed, work and end.
fn visit(scene: &Scene) -> Vec<u16> {
    let mut program = scene.start(EXECUTABLE, "restored");
    is(&mut program, "init 10 1 - -", "0");
    is(&mut program, &format!("count {COUNTED}"), "0");
    is(&mut program, "shutdown", "0");
    connections(&mut program)
}

/// Let a fourth device be cut from power while it works under the strict item, and go on.
fn lose_power(scene: &Scene) -> Vec<u16> {
    let begin = || {
        let mut program = scene.start(EXECUTABLE, "stall");
        is(&mut program, &format!("init 2 1 {PASSWORD} {APPLICATION}"), "0");
        is(&mut program, &format!("count {COUNTED}"), "0");
        program
    };
    begin().kill();
    let folder = std::fs::read_dir(scene.state("stall").join("seats")).unwrap();
    let mut files = folder.flatten().map(|file| file.path());
    let spent = files.find(|path| path.extension().is_some_and(|ending| ending == "spent"));
    // The file says which start of the machine has used it last.
    let file = std::fs::File::options().write(true).open(spent.unwrap()).unwrap();
    file.write_all_at(&1_u64.to_le_bytes(), 0x18).unwrap();
    let mut program = begin();
    is(&mut program, "sync", "0");
    is(&mut program, "shutdown", "0");
    connections(&mut program)
}

/// Let the third device lose its licenses, and come back when they do not run any more: the server
/// asks it to prove that it is there now.
fn begin_anew(scene: &Scene, server: &Server) -> Vec<u16> {
    std::fs::remove_dir_all(scene.state("restored").join("licenses")).unwrap();
    server.set_ahead(8 * 86_400);
    visit(scene)
}

fn connections(program: &mut Dialogue) -> Vec<u16> {
    let answer = program.ask("destinations");
    let ports: Vec<_> = answer.split_whitespace().map(|port| port.parse().unwrap()).collect();
    assert!(!ports.is_empty(), "a program has sent something");
    ports
}

/// Add what a device knows of itself and its user.
fn keep_to_itself(scene: &mut Scene, host: &str) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let search = &mut scene.search;
    for (name, value) in VARIABLES {
        search.add(&format!("the variable {name}"), value.as_bytes());
    }
    search.add_content("the counted content", COUNTED, ("QR_CODE", 1 << 26));
    let folder = scene.folder.path();
    let programs = scene.program.state().with_file_name("programs-of-accounting");
    for path in [folder, &programs, &folder.join("state-of-reception"), Path::new(HOST)] {
        let name = path.file_name().unwrap().to_str().unwrap();
        search.add(&format!("the folder {name}"), name.as_bytes());
        search.add(&format!("the path {name}"), path.to_str().unwrap().as_bytes());
    }
    search.add("the argument", ARGUMENT.as_bytes());
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    for (what, text) in [
        ("the host's name", host),
        ("the machine id", read("/etc/machine-id").trim()),
        ("the boot id", read("/proc/sys/kernel/random/boot_id").trim()),
        ("the kernel", read("/proc/sys/kernel/osrelease").trim()),
        ("the kernel's version", read("/proc/sys/kernel/version").trim()),
        ("the processor", cpu.unwrap_or_default()),
    ] {
        // A container may not have it, and a short name may come up by chance.
        if text.len() >= 4 {
            search.add(what, text.as_bytes());
        }
    }
    add_addresses(search);
}

/// Add the addresses of this machine. The server is on loopback, but named "localhost".
fn add_addresses(search: &mut Search) {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut last = "";
    let routes = read("/proc/net/fib_trie");
    for line in routes.lines() {
        if line.contains("/32 host LOCAL") {
            search.add("an address", last.as_bytes());
            let bytes: std::net::Ipv4Addr = last.parse().unwrap();
            search.add("an address, as bytes", &bytes.octets());
        }
        last = line.trim_start_matches([' ', '|', '-']);
    }
    for line in read("/proc/net/if_inet6").lines() {
        let digits = &line[..32];
        let address = std::net::Ipv6Addr::from(u128::from_str_radix(digits, 16).unwrap());
        if !address.is_loopback() {
            search.add("an IPv6 address", address.to_string().as_bytes());
            search.add("an IPv6 address, as bytes", &address.octets());
        }
    }
    for interface in std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten() {
        let address = std::fs::read_to_string(interface.path().join("address")).unwrap_or_default();
        let address = address.trim();
        let bytes = hex::decode(address.replace(':', "")).unwrap_or_default();
        if bytes.len() == 6 && bytes != [0; 6] {
            search.add("a hardware address", address.as_bytes());
            search.add("a hardware address, as bytes", &bytes);
        }
    }
}
