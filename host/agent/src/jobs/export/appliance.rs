//! Appliances (OVA): a tar of a description, a VMDK that the format plugin writes, and a manifest
//! with their SHA-256.
//!
//! The agent packs them itself: the manifest has a hash of the bytes of the disk, and those pass
//! through the host alone. A header in front of the disk states its size. In a file it is written
//! last; a sink that takes every byte in order gets the disk only after a pass that counts and
//! hashes it, which is cheaper than room for a second file on the machine.
//!
//! Sources of the facts: DMTF DSP0243 (OVF 1.1), POSIX.1-2017 (the ustar header); a size of 8 GiB
//! or more is in base 256, as GNU tar, VirtualBox and VMware read it.

use std::sync::Arc;

use imprint_agent_protocol::ExportImageAssignment;
use imprint_data_path::{Disk, Hashed, HashingSink, WriteOptions, Written};
use imprint_domain::task_error::TaskErrorCode;
use imprint_ports::{BlockSink, DiskFormat};
use sha2::{Digest, Sha256};

use super::sink::{Made, finish, write_error};
use crate::{
    error::JobError,
    jobs::{copy, image::read_digest, job::Job},
    sync::blocking,
};

/// Bytes of a header, and what members are padded to.
const BLOCK: usize = 512;
/// The names of the members.
const DESCRIPTION: &str = "appliance.ovf";
const DISK: &str = "appliance-disk1.vmdk";
const MANIFEST: &str = "appliance.mf";
/// The largest size that a header states in octal digits.
const MAX_OCTAL: u64 = (8 << 30) - 1;

/// Writes an appliance with one disk.
pub(super) async fn write(
    job: &Job,
    assignment: &ExportImageAssignment,
    (disk, vmdk): (&Arc<Disk>, &dyn DiskFormat),
    (sink, is_file): (Arc<dyn BlockSink>, bool),
    options: &WriteOptions,
) -> Result<Made, JobError> {
    let description = description(&assignment.name, disk.size());
    let mut front = member(DESCRIPTION, description.as_bytes());
    let header_at = to_u64(front.len())?;
    if is_file {
        front.extend(header(DISK, 0));
        let (written, hashed) =
            pass(disk, vmdk, options, HashingSink::over(sink.clone(), to_u64(front.len())?)).await?;
        front.truncate(front.len() - BLOCK);
        front.extend(header(DISK, hashed.size));
        let back = back(&description, &hashed)?;
        let end = header_at + to_u64(BLOCK)? + hashed.size;
        let size = end + to_u64(back.len())?;
        put(&sink, vec![(0, front), (end, back)], Some(size)).await?;
        let logical = written.logical;
        let stored = stored_digest(job, &sink).await?;
        return Ok(Made { size, logical, stored, sha256: None });
    }
    job.control.expect(disk.size().saturating_mul(2));
    let counting = options_of_pass(job, options);
    let (_, counted) = pass(disk, vmdk, &counting, HashingSink::counting()).await?;
    front.extend(header(DISK, counted.size));
    let outer = Arc::new(HashingSink::over(sink, 0));
    let target: Arc<dyn BlockSink> = outer.clone();
    let start = to_u64(front.len())?;
    put(&target, vec![(0, front)], None).await?;
    let inner = HashingSink::over(target.clone(), start);
    let (written, hashed) = pass(disk, vmdk, options, inner).await?;
    if hashed != counted {
        let detail = "two passes over the same disk made different files";
        return Err(JobError::failed(TaskErrorCode::Internal, detail));
    }
    let back = back(&description, &hashed)?;
    let end = start + hashed.size;
    let size = end + to_u64(back.len())?;
    put(&target, vec![(end, back)], Some(size)).await?;
    drop(target);
    let Hashed { digest, sha256, .. } = finish(outer)?;
    Ok(Made { size, logical: written.logical, stored: digest, sha256: Some(sha256) })
}

/// Returns the options of the pass that only counts, which has a progress of its own.
fn options_of_pass(job: &Job, options: &WriteOptions) -> WriteOptions {
    let progress = Arc::default();
    job.control.copying(Arc::clone(&progress));
    WriteOptions { progress, ..options.clone() }
}

/// Writes the disk as a VMDK in the order of its bytes.
async fn pass(
    disk: &Arc<Disk>,
    vmdk: &dyn DiskFormat,
    options: &WriteOptions,
    sink: HashingSink,
) -> Result<(Written, Hashed), JobError> {
    let sink = Arc::new(sink);
    let target: Arc<dyn BlockSink> = sink.clone();
    let written = copy::write_to(disk, vmdk, &target, options).await?;
    drop(target);
    Ok((written, finish(sink)?))
}

/// Writes pieces at their offsets, and with a size the end of the file.
async fn put(
    sink: &Arc<dyn BlockSink>,
    pieces: Vec<(u64, Vec<u8>)>,
    size: Option<u64>,
) -> Result<(), JobError> {
    let sink = sink.clone();
    let putting = blocking(move || {
        for (offset, bytes) in &pieces {
            sink.write_all_at(bytes, *offset)?;
        }
        if let Some(size) = size {
            sink.set_size(size)?;
            sink.sync()?;
        }
        Ok(())
    });
    putting.await?.map_err(|error: std::io::Error| write_error(&error))
}

/// Reads the written file and returns its digest.
async fn stored_digest(
    job: &Job,
    sink: &Arc<dyn BlockSink>,
) -> Result<imprint_data_path::DiskDigest, JobError> {
    let sink = sink.clone();
    let source = blocking(move || sink.read_back()).await?.map_err(|error| write_error(&error))?;
    let source =
        source.ok_or_else(|| JobError::failed(TaskErrorCode::Internal, "a file cannot be read back"))?;
    let opened = blocking(move || Disk::from_raw(source, &imprint_data_path::Limits::default())).await?;
    let file = Arc::new(opened.map_err(|error| copy::job_error(error, copy::Place::Storage))?);
    read_digest(job, &file, &Arc::default()).await
}

/// Returns what follows the disk: its padding, the manifest, and the end of the archive.
fn back(description: &str, disk: &Hashed) -> Result<Vec<u8>, JobError> {
    let of_description = hex::encode(Sha256::digest(description.as_bytes()));
    let manifest = format!("SHA256({DESCRIPTION})= {of_description}\nSHA256({DISK})= {}\n", disk.sha256);
    let rest = disk.size.next_multiple_of(to_u64(BLOCK)?) - disk.size;
    let rest = usize::try_from(rest).map_err(|error| JobError::failed(TaskErrorCode::Internal, error))?;
    let mut back = vec![0; rest];
    back.extend(member(MANIFEST, manifest.as_bytes()));
    back.extend([0; 2 * BLOCK]);
    Ok(back)
}

fn to_u64(length: usize) -> Result<u64, JobError> {
    u64::try_from(length).map_err(|error| JobError::failed(TaskErrorCode::Internal, error))
}

/// Returns a small member: its header, its bytes, and its padding.
fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut member = header(name, u64::try_from(bytes.len()).unwrap_or(u64::MAX)).to_vec();
    member.extend_from_slice(bytes);
    member.resize(member.len().next_multiple_of(BLOCK), 0);
    member
}

/// Returns the header of a plain file. All of its fields but name and size are constant, so that
/// the same disk always makes the same file.
fn header(name: &str, size: u64) -> [u8; BLOCK] {
    let mut size_field = [0; 12];
    if size <= MAX_OCTAL {
        put_text(&mut size_field, 0, &format!("{size:011o}\0"));
    } else {
        size_field[0] = 0x80;
        size_field[4..].copy_from_slice(&size.to_be_bytes());
    }
    let mut block = [0; BLOCK];
    for (at, text) in [
        (0, name),
        (100, "0000644\0"),
        (108, "0000000\0"),
        (116, "0000000\0"),
        (136, "00000000000\0"),
        (148, "        "),
        (156, "0"),
        (257, "ustar\x0000"),
    ] {
        put_text(&mut block, at, text);
    }
    block[124..136].copy_from_slice(&size_field);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put_text(&mut block, 148, &format!("{sum:06o}\0 "));
    block
}

/// Copies ASCII text into a field, which has room for it.
fn put_text(field: &mut [u8], at: usize, text: &str) {
    for (to, from) in field.iter_mut().skip(at).zip(text.bytes()) {
        *to = from;
    }
}

/// Returns the description of a machine with one disk: one processor, 1 GiB of memory, and a system
/// that is not known.
fn description(name: &str, capacity: u64) -> String {
    let name = escaped(name);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>
    <File ovf:href="{DISK}" ovf:id="file1"/>
  </References>
  <DiskSection>
    <Info>The disks of the machine</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id="appliance">
    <Info>A machine with the disk of an image</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="1">
      <Info>The system on the disk</Info>
      <Description>Other</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The hardware of the machine</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-07</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:ElementName>1 virtual CPU</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>1</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:ElementName>1024 MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>1024</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:ElementName>SCSI controller 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Disk 1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}

/// Returns text as the content of an XML element. Names have no control characters.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_states_any_size() {
        let small = header(DISK, 0o1234);
        assert_eq!(&small[124..136], b"00000001234\0");
        assert_eq!(&small[257..265], b"ustar\x0000");
        let large = header(DISK, 10 << 40);
        assert_eq!((large[124], u64::from_be_bytes(large[128..136].try_into().unwrap())), (0x80, 10 << 40));
        for block in [small, large] {
            let sum: u32 = block
                .iter()
                .enumerate()
                .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
                .sum();
            assert_eq!(&block[148..154], format!("{sum:06o}").as_bytes());
        }
    }

    #[test]
    fn a_name_stays_text() {
        let text = description("a <b> & \"c\"", 1 << 20);
        assert!(
            text.contains("<Name>a &lt;b&gt; &amp; \"c\"</Name>") && text.contains("capacity=\"1048576\"")
        );
    }
}
