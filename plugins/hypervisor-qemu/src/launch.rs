//! What to run for an instance: plain QEMU, with everything named and every format explicit.

use imprint_plugin_sdk::{
    hypervisor::{DiskSpec, Launch, MEDIUM_SERIAL, VmSpec},
    types::Props,
};
use serde_json::{Value, json};

use crate::{
    block::{absolute, check_serial, nodes},
    card::Card,
    devices,
    error::Fault,
    option::{choice, switch},
    quiesce::AGENT_CHARDEV,
};

/// The program, by the name that operators approve.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";

const MIB: u64 = 1 << 20;
const MIN_MEMORY: u64 = 32 * MIB;
const MAX_VCPUS: u32 = 255;
/// Both machine types have more slots; no instance needs more.
const MAX_DISKS: usize = 16;
const MAX_CDROMS: usize = 4;
const MAX_NAME: usize = 255;
/// The drives of the IDE controller that `pc` has, two on each of its buses.
const IDE_DRIVES: usize = 4;
/// The guest's devices are the only thing that QEMU serves: no further programs, no new privileges.
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// Builds the command line. The agent runs it detached by itself, so QEMU stays in the foreground.
pub(crate) fn define(spec: &VmSpec) -> Result<Launch, Fault> {
    check(spec)?;
    let options = Options::parse(&spec.options)?;
    if options.bus == Bus::Ide && spec.disks.len() + spec.cdroms.len() > IDE_DRIVES {
        let problem = format!("a machine of the mode `hvm` has {IDE_DRIVES} places for disks and CD-ROMs");
        return Err(Fault::Invalid { what: "disks", problem });
    }
    let mut arguments = Arguments::default();
    arguments.machine(spec, &options);
    arguments.console_and_channels(&spec.paths)?;
    if options.iothread && options.bus == Bus::Virtio {
        arguments.pair("-object", json!({ "qom-type": "iothread", "id": "iothread0" }).to_string());
    }
    if options.has_ports() {
        arguments.ports();
    }
    for (index, disk) in spec.disks.iter().enumerate() {
        arguments.disk(index, disk, &options)?;
    }
    if options.bus == Bus::Virtio {
        arguments.device(&json!({ "driver": "virtio-scsi-pci", "id": "scsi0" }));
    }
    let is_medium = |cdrom: &&DiskSpec| cdrom.serial == MEDIUM_SERIAL;
    for (index, cdrom) in spec.cdroms.iter().filter(|cdrom| !is_medium(cdrom)).enumerate() {
        arguments.cdrom(index, cdrom, &options, spec.disks.len())?;
    }
    let medium = spec.cdroms.iter().find(is_medium);
    if medium.is_some() || options.bus == Bus::Virtio || spec.disks.len() + spec.cdroms.len() < IDE_DRIVES {
        arguments.medium_drive(medium, &options)?;
    }
    Ok(Launch { program: PROGRAM.to_owned(), arguments: arguments.0, environment: Props::new() })
}

fn check(spec: &VmSpec) -> Result<(), Fault> {
    let invalid = |what: &'static str, problem: String| Err(Fault::Invalid { what, problem });
    if spec.name.is_empty() || spec.name.len() > MAX_NAME || spec.name.chars().any(char::is_control) {
        return invalid("name", format!("use 1 to {MAX_NAME} bytes without control characters"));
    }
    if !(1..=MAX_VCPUS).contains(&spec.vcpus) {
        return invalid("vcpus", format!("use 1 to {MAX_VCPUS}"));
    }
    if spec.memory_bytes < MIN_MEMORY || !spec.memory_bytes.is_multiple_of(MIB) {
        return invalid("memory", format!("use whole MiB, at least {}", MIN_MEMORY / MIB));
    }
    if spec.disks.is_empty() || spec.disks.len() > MAX_DISKS {
        return invalid("disks", format!("give 1 to {MAX_DISKS}; the first is the primary disk"));
    }
    if spec.cdroms.len() > MAX_CDROMS {
        return invalid("cdroms", format!("give at most {MAX_CDROMS}"));
    }
    Ok(())
}

/// The bus of disks and CD-ROMs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bus {
    /// Paravirtual: the guest needs the virtio drivers.
    Virtio,
    /// The IDE controller of the machine, which systems of the last thirty years have a driver for.
    Ide,
}

/// The options that a launch knows.
struct Options {
    accelerator: &'static str,
    machine: &'static str,
    cpu: Option<String>,
    iothread: bool,
    sandbox: bool,
    bus: Bus,
    card: Card,
    /// Whether the medium comes before the primary disk.
    boot_medium: bool,
}

impl Options {
    fn parse(props: &Props) -> Result<Self, Fault> {
        let mut options = Self {
            accelerator: "tcg",
            machine: "pc",
            cpu: None,
            iothread: false,
            sandbox: true,
            bus: Bus::Virtio,
            card: Card::parse(props)?,
            boot_medium: false,
        };
        for (key, value) in props {
            match key.as_str() {
                "accelerator" => options.accelerator = choice(key, value, &["tcg", "kvm"])?,
                "machine" => options.machine = choice(key, value, &["pc", "q35"])?,
                "iothread" => options.iothread = switch(key, value)?,
                "sandbox" => options.sandbox = switch(key, value)?,
                "vm-mode" => {
                    let is_emulated = choice(key, value, &["hvm", "virtio"])? == "hvm";
                    options.bus = if is_emulated { Bus::Ide } else { Bus::Virtio };
                }
                "boot" => options.boot_medium = choice(key, value, &["disk", "cd"])? == "cd",
                "cpu" => options.cpu = Some(cpu_model(value)?),
                // Settings of the driver itself, and whatever comes later: an unknown key is
                // ignored.
                _ => {}
            }
        }
        if options.bus == Bus::Ide {
            options.machine = "pc";
        }
        Ok(options)
    }

    /// Whether further disks are on ports: the root bus of this machine takes none while it runs.
    fn has_ports(&self) -> bool {
        self.machine == "q35" && self.bus == Bus::Virtio
    }
}

fn cpu_model(value: &str) -> Result<String, Fault> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'=' | b',');
    if value.is_empty() || value.len() > MAX_NAME || !value.bytes().all(plain) {
        let problem = "`cpu` is a model with features, such as `EPYC,-arch-capabilities`".to_owned();
        return Err(Fault::Invalid { what: "option", problem });
    }
    Ok(value.to_owned())
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, flag: &str) {
        self.0.push(flag.to_owned());
    }

    fn pair(&mut self, flag: &str, value: String) {
        self.flag(flag);
        self.0.push(value);
    }

    fn device(&mut self, device: &Value) {
        self.pair("-device", device.to_string());
    }

    fn machine(&mut self, spec: &VmSpec, options: &Options) {
        self.flag("-no-user-config");
        self.flag("-nodefaults");
        if options.sandbox {
            self.pair("-sandbox", SANDBOX.to_owned());
        }
        self.pair("-name", format!("guest={}", escape(&spec.name)));
        self.pair("-machine", options.machine.to_owned());
        self.pair("-accel", options.accelerator.to_owned());
        if let Some(cpu) = &options.cpu {
            self.pair("-cpu", cpu.clone());
        }
        self.pair("-smp", spec.vcpus.to_string());
        self.pair("-m", (spec.memory_bytes / MIB).to_string());
        self.pair("-display", "none".to_owned());
        if let Some(end) = options.card.host_end() {
            self.pair("-netdev", end);
            let driver = match options.bus {
                Bus::Virtio => "virtio-net-pci",
                Bus::Ide => "e1000",
            };
            let mut device = json!({ "driver": driver, "id": "vnet0", "netdev": "net0" });
            if let Some(mac) = &options.card.mac {
                device["mac"] = json!(mac);
            }
            self.device(&device);
        }
    }

    fn console_and_channels(&mut self, paths: &Props) -> Result<(), Fault> {
        let path = |key: &'static str| {
            let path = paths.get(key).ok_or_else(|| Fault::Invalid {
                what: "paths",
                problem: format!("`{key}` is missing; the host chooses it"),
            })?;
            absolute(key, path).map(escape)
        };
        self.pair("-chardev", format!("file,id=console0,path={},append=on", path("console")?));
        self.pair("-serial", "chardev:console0".to_owned());
        self.pair("-chardev", format!("socket,id=qmp0,path={},server=on,wait=off", path("qmp")?));
        self.pair("-mon", "chardev=qmp0,mode=control".to_owned());
        self.device(&json!({ "driver": "virtio-serial-pci", "id": "vserial0" }));
        self.pair("-chardev", format!("socket,id={AGENT_CHARDEV},path={},server=on,wait=off", path("qga")?));
        let port = "org.qemu.guest_agent.0";
        self.device(&json!({ "driver": "virtserialport", "chardev": AGENT_CHARDEV, "name": port }));
        // Taken as it is, unlike option lists.
        self.pair(
            "-pidfile",
            absolute("pidfile", &paths.get("pidfile").cloned().unwrap_or_default())?.to_owned(),
        );
        Ok(())
    }

    fn disk(&mut self, index: usize, disk: &DiskSpec, options: &Options) -> Result<(), Fault> {
        check_serial(&disk.serial)?;
        let is_further = index > 0 && !disk.serial.is_empty();
        let node = if is_further { devices::node_name(&disk.serial) } else { format!("disk{index}") };
        self.blockdev(&node, disk)?;
        let mut device = match options.bus {
            Bus::Virtio => json!({ "driver": "virtio-blk-pci", "id": format!("v{node}"), "drive": node }),
            Bus::Ide => json!({
                "driver": "ide-hd", "id": format!("v{node}"), "drive": node,
                "bus": format!("ide.{}", index / 2), "unit": index % 2,
            }),
        };
        if !disk.serial.is_empty() {
            device["serial"] = json!(disk.serial);
        }
        if index == 0 {
            device["bootindex"] = json!(1);
        }
        if options.has_ports() && (1..=devices::PORTS).contains(&index) {
            device["bus"] = json!(devices::port_name(index));
        }
        if options.iothread && options.bus == Bus::Virtio {
            device["iothread"] = json!("iothread0");
        }
        self.device(&device);
        Ok(())
    }

    fn cdrom(
        &mut self,
        index: usize,
        cdrom: &DiskSpec,
        options: &Options,
        disks: usize,
    ) -> Result<(), Fault> {
        let node = format!("cdrom{index}");
        self.blockdev(&node, &DiskSpec { read_only: true, ..cdrom.clone() })?;
        let place = disks + index;
        let mut device = match options.bus {
            Bus::Virtio => json!({ "driver": "scsi-cd", "bus": "scsi0.0" }),
            Bus::Ide => json!({ "driver": "ide-cd", "bus": format!("ide.{}", place / 2), "unit": place % 2 }),
        };
        device["id"] = json!(format!("cd{index}"));
        device["drive"] = json!(node);
        self.device(&device);
        Ok(())
    }

    /// One port for each further disk that can be attached while the machine runs.
    fn ports(&mut self) {
        for number in 1..=devices::PORTS {
            self.device(&json!({
                "driver": "pcie-root-port", "id": devices::port_name(number), "chassis": number,
            }));
        }
    }

    /// The drive whose medium changes, with or without one. It has the last place of the IDE
    /// controller.
    fn medium_drive(&mut self, medium: Option<&DiskSpec>, options: &Options) -> Result<(), Fault> {
        let mut device = match options.bus {
            Bus::Virtio => json!({ "driver": "scsi-cd", "bus": "scsi0.0" }),
            Bus::Ide => json!({ "driver": "ide-cd", "bus": "ide.1", "unit": 1 }),
        };
        device["id"] = json!(devices::DRIVE);
        if let Some(medium) = medium {
            self.blockdev(MEDIUM_SERIAL, &DiskSpec { read_only: true, ..medium.clone() })?;
            device["drive"] = json!(MEDIUM_SERIAL);
            if options.boot_medium {
                device["bootindex"] = json!(0);
            }
        }
        self.device(&device);
        Ok(())
    }

    fn blockdev(&mut self, node: &str, disk: &DiskSpec) -> Result<(), Fault> {
        for definition in nodes(node, disk)? {
            self.pair("-blockdev", definition.to_string());
        }
        Ok(())
    }
}

/// In QEMU's option lists a comma ends a value; two are one.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}
