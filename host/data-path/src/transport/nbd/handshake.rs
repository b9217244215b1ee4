//! Fixed newstyle negotiation: structured replies, `base:allocation`, GO.

use super::{
    NbdError,
    error::sanitize,
    wire::{Deadline, Fields, INIT_MAGIC, OPTION_MAGIC, OPTION_REPLY_MAGIC, Wire},
};

const FLAG_FIXED_NEWSTYLE: u16 = 1;
const FLAG_NO_ZEROES: u16 = 2;
const OPT_GO: u32 = 7;
const OPT_STRUCTURED_REPLY: u32 = 8;
const OPT_SET_META_CONTEXT: u32 = 10;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_META_CONTEXT: u32 = 4;
const REP_FLAG_ERROR: u32 = 1 << 31;
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;
const TRANSMISSION_HAS_FLAGS: u16 = 1;
const TRANSMISSION_READ_ONLY: u16 = 1 << 1;
const TRANSMISSION_SEND_FLUSH: u16 = 1 << 2;
const TRANSMISSION_SEND_WRITE_ZEROES: u16 = 1 << 6;
const TRANSMISSION_CAN_MULTI_CONN: u16 = 1 << 8;
/// The one context that is requested.
const ALLOCATION: &str = "base:allocation";
/// The longest option reply that is read, in bytes.
const MAX_OPTION_REPLY: u32 = 64 << 10;
/// The largest number of replies to one option.
const MAX_REPLIES: usize = 64;
/// The longest export name in bytes, by the protocol.
const MAX_NAME: usize = 4096;

/// The properties of the export, as negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) size: u64,
    pub(super) multi_conn: bool,
    pub(super) structured: bool,
    /// The id of `base:allocation`.
    pub(super) allocation: Option<u32>,
    /// The smallest block in bytes: reads must be multiples of it.
    pub(super) min_block: u32,
    /// The longest read or write, in bytes.
    pub(super) max_request: u32,
    pub(super) abilities: Abilities,
}

/// What the server accepts in addition to reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) read_only: bool,
    pub(super) flush: bool,
    pub(super) write_zeroes: bool,
}

pub(super) fn negotiate(wire: &mut Wire, name: &str, deadline: &Deadline) -> Result<Export, NbdError> {
    if name.len() > MAX_NAME {
        return Err(NbdError::Refused { message: "the name of the export is too long".to_owned() });
    }
    greet(wire, deadline)?;
    let structured = option(wire, OPT_STRUCTURED_REPLY, &[], deadline, |kind, _| match kind {
        REP_ACK => Ok(()),
        _ => Err(NbdError::Protocol { what: "an unexpected answer to the offer of structured replies" }),
    })?
    .is_ok();
    let allocation = if structured { ask_for_allocation(wire, name, deadline)? } else { None };
    go(wire, name, structured, allocation, deadline)
}

fn greet(wire: &mut Wire, deadline: &Deadline) -> Result<(), NbdError> {
    if wire.u64(deadline)? != INIT_MAGIC {
        return Err(NbdError::NotNbd { what: "it does not begin with NBDMAGIC" });
    }
    if wire.u64(deadline)? != OPTION_MAGIC {
        return Err(NbdError::NotNbd { what: "it is an oldstyle server" });
    }
    let flags = wire.u16(deadline)?;
    if flags & FLAG_FIXED_NEWSTYLE == 0 {
        return Err(NbdError::NotNbd { what: "it is not a fixed newstyle server" });
    }
    let ours = u32::from(FLAG_FIXED_NEWSTYLE | (flags & FLAG_NO_ZEROES));
    wire.write(&ours.to_be_bytes(), deadline)
}

/// Sends an option and passes its replies to `reply` up to the ACK. The inner error is the server's
/// refusal.
fn option(
    wire: &mut Wire,
    option: u32,
    data: &[u8],
    deadline: &Deadline,
    mut reply: impl FnMut(u32, &[u8]) -> Result<(), NbdError>,
) -> Result<Result<(), String>, NbdError> {
    let length =
        u32::try_from(data.len()).map_err(|_| NbdError::Protocol { what: "an option that is too long" })?;
    let mut message = Vec::with_capacity(16 + data.len());
    message.extend_from_slice(&OPTION_MAGIC.to_be_bytes());
    message.extend_from_slice(&option.to_be_bytes());
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(data);
    wire.write(&message, deadline)?;
    for _ in 0..MAX_REPLIES {
        if wire.u64(deadline)? != OPTION_REPLY_MAGIC {
            return Err(NbdError::Protocol { what: "an option reply without its magic number" });
        }
        let (about, kind, length) = (wire.u32(deadline)?, wire.u32(deadline)?, wire.u32(deadline)?);
        if about != option || length > MAX_OPTION_REPLY {
            return Err(NbdError::Protocol {
                what: "an option reply that is too long or about another option",
            });
        }
        let mut data = vec![0; crate::util::num::from_u32(length)];
        wire.read(&mut data, deadline)?;
        if kind & REP_FLAG_ERROR != 0 {
            return Ok(Err(sanitize(&data)));
        }
        reply(kind, &data)?;
        if kind == REP_ACK {
            return Ok(Ok(()));
        }
    }
    Err(NbdError::Protocol { what: "endless replies to an option" })
}

fn put_string(message: &mut Vec<u8>, text: &str) {
    let length = u32::try_from(text.len()).expect("names are at most 4096 bytes");
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(text.as_bytes());
}

fn ask_for_allocation(wire: &mut Wire, name: &str, deadline: &Deadline) -> Result<Option<u32>, NbdError> {
    let mut data = Vec::new();
    put_string(&mut data, name);
    data.extend_from_slice(&1u32.to_be_bytes());
    put_string(&mut data, ALLOCATION);
    let mut id = None;
    let answer = option(wire, OPT_SET_META_CONTEXT, &data, deadline, |kind, data| {
        let mut fields = Fields(data);
        match (kind, fields.u32()) {
            (REP_ACK, None) => Ok(()),
            (REP_META_CONTEXT, Some(context)) if fields.0 == ALLOCATION.as_bytes() && id.is_none() => {
                id = Some(context);
                Ok(())
            }
            _ => Err(NbdError::Protocol { what: "an unexpected answer to the request for meta contexts" }),
        }
    })?;
    Ok(id.filter(|_| answer.is_ok()))
}

fn go(
    wire: &mut Wire,
    name: &str,
    structured: bool,
    allocation: Option<u32>,
    deadline: &Deadline,
) -> Result<Export, NbdError> {
    let mut data = Vec::new();
    put_string(&mut data, name);
    data.extend_from_slice(&1u16.to_be_bytes());
    data.extend_from_slice(&INFO_BLOCK_SIZE.to_be_bytes());
    let (mut size_and_flags, mut blocks) = (None, (1u32, 32u32 << 20));
    let answer = option(wire, OPT_GO, &data, deadline, |kind, data| {
        let mut fields = Fields(data);
        match (kind, fields.u16()) {
            (REP_ACK, None) => Ok(()),
            (REP_INFO, Some(INFO_EXPORT)) => {
                size_and_flags = fields.u64().zip(fields.u16());
                Ok(())
            }
            (REP_INFO, Some(INFO_BLOCK_SIZE)) => {
                let (Some(min), Some(_), Some(max)) = (fields.u32(), fields.u32(), fields.u32()) else {
                    return Err(NbdError::Protocol { what: "block sizes that are cut off" });
                };
                blocks = (min, max);
                Ok(())
            }
            // Information that was not requested may come, and is ignored.
            (REP_INFO, Some(_)) => Ok(()),
            _ => Err(NbdError::Protocol { what: "an unexpected answer to the request for the export" }),
        }
    })?;
    answer.map_err(|message| NbdError::Refused { message })?;
    let Some((size, flags)) = size_and_flags else {
        return Err(NbdError::Protocol { what: "an export without a size" });
    };
    let (min_block, max_request) = blocks;
    if !min_block.is_power_of_two()
        || min_block > 64 << 10
        || max_request < min_block.max(512)
        || size > i64::MAX.unsigned_abs()
    {
        return Err(NbdError::Protocol { what: "an impossible size of export or block" });
    }
    let flag = |flag| flags & TRANSMISSION_HAS_FLAGS != 0 && flags & flag != 0;
    let abilities = Abilities {
        read_only: flag(TRANSMISSION_READ_ONLY),
        flush: flag(TRANSMISSION_SEND_FLUSH),
        write_zeroes: flag(TRANSMISSION_SEND_WRITE_ZEROES),
    };
    let multi_conn = flag(TRANSMISSION_CAN_MULTI_CONN);
    Ok(Export { size, multi_conn, structured, allocation, min_block, max_request, abilities })
}
