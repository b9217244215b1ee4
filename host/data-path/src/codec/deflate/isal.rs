//! ISA-L's igzip at its level 1: twice as fast as libdeflate's level 1, 1 % more output than zlib's
//! level 6 with QEMU's window.
//!
//! The first byte of a unit does not go through ISA-L. Where a stream has no history yet, the loop
//! of its level 1 (`.write_first_byte` in `igzip_icf_body_h1_gr_bt.asm`) takes the third byte's
//! hash from a register that holds the address of the state instead of the input. One unit in some
//! thousands starts with bytes whose entry that hash overwrites; its matches, and so its output,
//! then depend on where the allocator put the state. A stream that starts with a dictionary never
//! gets there. So the first byte is a stored block of its own, six bytes long, and the dictionary
//! of the rest: the decoder has it in its window when the rest refers to it.

use std::ptr;

use isal_sys::igzip_lib::{
    COMP_OK, ISAL_DEF_LVL1_DEFAULT, ISAL_DEFLATE, isal_deflate, isal_deflate_init, isal_deflate_set_dict,
    isal_zstate_state_ZSTATE_END, isal_zstream,
};
use libdeflater::{adler32, crc32};

use super::encoder::{DeflateEncoder, Wrapper};

const LEVEL: u32 = 1;
/// RFC 1950: deflate with a window of 32 KiB, by a fast encoder, no preset dictionary.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x5E];
/// RFC 1952: deflate, no name, no time, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
/// A stored block of one byte that is not the last one (RFC 1951, 3.2.4), without the byte.
const STORED_BYTE: [u8; 5] = [0, 1, 0, 0xFE, 0xFF];

/// An encoder with the memory that ISA-L works in: 82 KiB of state, and the buffer for the tokens
/// of 64 KiB of input.
pub(super) struct Isal {
    wrapper: Wrapper,
    /// Holds no pointer that outlives a call of [`Isal::deflate`].
    stream: Box<isal_zstream>,
    tokens: Box<[u8]>,
}

#[expect(
    unsafe_code,
    reason = "the pointers in the state are not used between calls, and not tied to a thread"
)]
// SAFETY: ISA-L keeps no thread-local state; `deflate` sets every pointer anew before ISA-L follows
// it.
unsafe impl Send for Isal {}

impl Isal {
    pub(super) fn new(wrapper: Wrapper) -> Self {
        let tokens = vec![0; usize::try_from(ISAL_DEF_LVL1_DEFAULT).expect("usize has 64 bits")];
        Self { wrapper, stream: zeroed(), tokens: tokens.into_boxed_slice() }
    }

    /// Encodes the rest of a unit, whose first byte is `dictionary`, to the end of the stream.
    fn deflate(&mut self, dictionary: Option<&u8>, rest: &[u8], out: &mut [u8]) -> Option<usize> {
        let input = u32::try_from(rest.len()).ok()?;
        let room = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let stream = self.stream.as_mut();
        #[expect(unsafe_code, reason = "initialises the state")]
        // SAFETY: `stream` is a whole `isal_zstream` with no other reference to it; the call reads
        // nothing of it. It is called for each unit because a unit that did not fit leaves the
        // state in the middle of a block.
        unsafe {
            isal_deflate_init(stream);
        }
        stream.level = LEVEL;
        stream.level_buf = self.tokens.as_mut_ptr();
        stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
        stream.end_of_stream = 1;
        stream.gzip_flag = u16::try_from(ISAL_DEFLATE).expect("the flag has 16 bits in ISA-L");
        let mut code = i64::from(COMP_OK);
        if let Some(byte) = dictionary {
            #[expect(unsafe_code, reason = "gives the state its history")]
            // SAFETY: `stream` is initialised; the call copies one byte, which `byte` is, and does
            // not write to it.
            let set = unsafe { isal_deflate_set_dict(stream, ptr::from_ref(byte).cast_mut(), 1) };
            code = i64::from(set);
        }
        stream.next_in = rest.as_ptr().cast_mut();
        stream.avail_in = input;
        stream.next_out = out.as_mut_ptr();
        stream.avail_out = room;
        // One call does it; the others are for what waits in the state while there is room for it.
        while code == i64::from(COMP_OK) && stream.internal_state.state != isal_zstate_state_ZSTATE_END {
            let before = (stream.avail_in, stream.avail_out);
            #[expect(unsafe_code, reason = "the one call that encodes")]
            // SAFETY: `next_in` points to `avail_in` readable bytes, which ISA-L does not write to
            // (the field is const in C); `next_out` to `avail_out` writable bytes, which do not
            // overlap them; `level_buf` to `level_buf_size` writable bytes. All three live for the
            // whole loop, and ISA-L keeps to these lengths.
            let result = unsafe { isal_deflate(stream) };
            code = i64::from(result);
            if before == (stream.avail_in, stream.avail_out) {
                break;
            }
        }
        let length = room - stream.avail_out;
        stream.next_in = ptr::null_mut();
        stream.next_out = ptr::null_mut();
        stream.level_buf = ptr::null_mut();
        (code == i64::from(COMP_OK) && stream.internal_state.state == isal_zstate_state_ZSTATE_END)
            .then(|| usize::try_from(length).expect("usize has 64 bits"))
    }
}

/// State that is not initialised in ISA-L's sense yet.
fn zeroed() -> Box<isal_zstream> {
    let stream = Box::<isal_zstream>::new_zeroed();
    #[expect(unsafe_code, reason = "a C structure made of integers and pointers")]
    // SAFETY: `isal_zstream` has integers, arrays of them, raw pointers, and one C enumeration
    // whose first value is 0 (`ZSTATE_NEW_HDR`): all zeroes is a valid value of each.
    unsafe {
        stream.assume_init()
    }
}

/// Writes to the start of `out`, which becomes what is behind it.
fn put(out: &mut &mut [u8], bytes: &[u8]) -> Option<()> {
    let (head, tail) = std::mem::take(out).split_at_mut_checked(bytes.len())?;
    head.copy_from_slice(bytes);
    *out = tail;
    Some(())
}

impl DeflateEncoder for Isal {
    fn encode(&mut self, unit: &[u8], out: &mut [u8]) -> Option<usize> {
        let room = out.len();
        let mut rest = out;
        let header: &[u8] = match self.wrapper {
            Wrapper::None => &[],
            Wrapper::Zlib => &ZLIB_HEADER,
            Wrapper::Gzip => &GZIP_HEADER,
        };
        put(&mut rest, header)?;
        let first = unit.first();
        if let Some(first) = first {
            put(&mut rest, &STORED_BYTE)?;
            put(&mut rest, &[*first])?;
        }
        let length = self.deflate(first, unit.get(1..).unwrap_or_default(), rest)?;
        rest = rest.get_mut(length..)?;
        match self.wrapper {
            Wrapper::None => {}
            Wrapper::Zlib => put(&mut rest, &adler32(unit).to_be_bytes())?,
            Wrapper::Gzip => {
                put(&mut rest, &crc32(unit).to_le_bytes())?;
                put(&mut rest, &u32::try_from(unit.len()).ok()?.to_le_bytes())?;
            }
        }
        Some(room - rest.len())
    }
}
