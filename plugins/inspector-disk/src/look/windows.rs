//! Windows, by the hives of its registry and by the files that programs install.

use imprint_plugin_sdk::{
    error::Result,
    inspector::{Family, System},
};

use super::{
    Asked,
    hive::{Hive, Key},
};

const SOFTWARE: &str = "/Windows/System32/config/SOFTWARE";
const SYSTEM: &str = "/Windows/System32/config/SYSTEM";
const KERNEL: &str = "/Windows/System32/ntoskrnl.exe";
const CLOUD_INIT: [&str; 3] = [
    "/Program Files/Cloudbase Solutions/Cloudbase-Init",
    "/Program Files (x86)/Cloudbase Solutions/Cloudbase-Init",
    "/Program Files/Amazon/EC2Launch",
];
const GUEST_AGENT: [&str; 2] =
    ["/Program Files/Qemu-ga/qemu-ga.exe", "/Program Files (x86)/Qemu-ga/qemu-ga.exe"];
const SSH: [&str; 2] = ["/Windows/System32/OpenSSH/sshd.exe", "/Program Files/OpenSSH/sshd.exe"];
/// The data base of Active Directory, where it is unless its owner moved it.
const DIRECTORY: [&str; 1] = ["/Windows/NTDS/ntds.dit"];
/// The first build that is called Windows 11, although its registry still says 10.
const WINDOWS_11: u32 = 22_000;

pub(super) fn look(asked: &mut Asked<'_>) {
    asked.boots("windows", &["/bootmgr", "/Boot/BCD"]);
    if !asked.has(&[SOFTWARE, KERNEL]) {
        return;
    }
    let mut system = System { family: Family::Windows, ..System::default() };
    let mut controller = false;
    let read = asked.files.open(SOFTWARE, &mut |file| Hive::open(file)?.software(&mut system));
    asked.keep(read);
    let read = asked.files.open(SYSTEM, &mut |file| {
        controller = Hive::open(file)?.system(&mut system)?;
        Ok(())
    });
    asked.keep(read);
    asked.look.domain_controller |= controller || asked.has(&DIRECTORY);
    asked.look.system = Some(system);
    asked.look.cloud_init |= asked.has(&CLOUD_INIT);
    asked.look.guest_agent |= asked.has(&GUEST_AGENT);
    asked.look.ssh_server |= asked.has(&SSH);
}

impl Hive<'_> {
    /// Reads from the hive SOFTWARE what the system is called.
    fn software(&mut self, system: &mut System) -> Result<()> {
        let Some(key) = self.find(&["Microsoft", "Windows NT", "CurrentVersion"])? else { return Ok(()) };
        let build = self.text(&key, "CurrentBuild")?.or(self.text(&key, "CurrentBuildNumber")?);
        let is_11 =
            build.as_deref().and_then(|build| build.parse::<u32>().ok()).is_some_and(|b| b >= WINDOWS_11);
        let name = self.text(&key, "ProductName")?;
        system.name = match name {
            Some(name) if is_11 => Some(name.replacen("Windows 10", "Windows 11", 1)),
            name => name,
        };
        system.edition = self.text(&key, "EditionID")?;
        system.version = self.text(&key, "DisplayVersion")?.or(self.text(&key, "ReleaseId")?);
        system.build = match (build, self.number(&key, "UBR")?) {
            (Some(build), Some(revision)) => Some(format!("{build}.{revision}")),
            (build, _) => build,
        };
        Ok(())
    }

    /// Reads the architecture from the hive SYSTEM, and returns whether the system is a domain
    /// controller.
    fn system(&mut self, system: &mut System) -> Result<bool> {
        let current = match self.find(&["Select"])? {
            Some(key) => self.number(&key, "Current")?,
            None => None,
        };
        let set = format!("ControlSet{:03}", current.unwrap_or(1));
        let environment = self.find(&[&set, "Control", "Session Manager", "Environment"])?;
        let architecture = self.optional(environment.as_ref(), "PROCESSOR_ARCHITECTURE")?;
        system.architecture = architecture.map(|name| match name.to_ascii_uppercase().as_str() {
            "AMD64" => "x86_64".to_owned(),
            "ARM64" => "aarch64".to_owned(),
            "X86" => "i686".to_owned(),
            _ => name.to_lowercase(),
        });
        let options = self.find(&[&set, "Control", "ProductOptions"])?;
        let product = self.optional(options.as_ref(), "ProductType")?;
        Ok(product.is_some_and(|product| product.eq_ignore_ascii_case("LanmanNT")))
    }

    fn optional(&mut self, key: Option<&Key>, name: &str) -> Result<Option<String>> {
        key.map_or(Ok(None), |key| self.text(key, name))
    }
}
