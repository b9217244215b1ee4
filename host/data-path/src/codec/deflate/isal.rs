//! ISA-L's igzip at its level 1: 585 MB/s on a core, 1 % more output than zlib's level 6 with QEMU's window.

use std::ptr;

use isal_sys::igzip_lib::{
    COMP_OK, ISAL_DEF_LVL1_DEFAULT, ISAL_DEFLATE, ISAL_GZIP, ISAL_ZLIB, isal_deflate_stateless,
    isal_deflate_stateless_init, isal_zstream,
};

use super::{DeflateEncoder, Wrapper};

const LEVEL: u32 = 1;

/// An encoder with the memory that ISA-L works in: 82 KiB of state, and the buffer for the tokens of 64 KiB of input.
pub(super) struct Isal {
    wrapper: Wrapper,
    /// Holds no pointer that outlives a call of [`Isal::encode`].
    stream: Box<isal_zstream>,
    tokens: Box<[u8]>,
}

#[expect(unsafe_code, reason = "the pointers in the state are null between calls, and not tied to a thread")]
// SAFETY: ISA-L keeps no thread-local state; `encode` sets every pointer anew and leaves none behind.
unsafe impl Send for Isal {}

impl Isal {
    pub(super) fn new(wrapper: Wrapper) -> Self {
        let tokens = vec![0; usize::try_from(ISAL_DEF_LVL1_DEFAULT).expect("usize has 64 bits")];
        Self { wrapper, stream: zeroed(), tokens: tokens.into_boxed_slice() }
    }
}

/// State that is not initialised in ISA-L's sense yet.
fn zeroed() -> Box<isal_zstream> {
    let stream = Box::<isal_zstream>::new_zeroed();
    #[expect(unsafe_code, reason = "a C structure made of integers and pointers")]
    // SAFETY: `isal_zstream` has integers, arrays of them, raw pointers, and one C enumeration whose first value is 0
    // (`ZSTATE_NEW_HDR`): all zeroes is a valid value of each.
    unsafe {
        stream.assume_init()
    }
}

impl DeflateEncoder for Isal {
    fn encode(&mut self, unit: &[u8], out: &mut [u8]) -> Option<usize> {
        let input = u32::try_from(unit.len()).ok()?;
        let room = u32::try_from(out.len()).unwrap_or(u32::MAX);
        let stream = self.stream.as_mut();
        #[expect(unsafe_code, reason = "initialises the state")]
        // SAFETY: `stream` is a whole `isal_zstream` that nobody else refers to; the call reads nothing of it. It is called
        // for each unit because a unit that did not fit leaves the state in the middle of a block.
        unsafe {
            isal_deflate_stateless_init(stream);
        }
        stream.next_in = unit.as_ptr().cast_mut();
        stream.avail_in = input;
        stream.next_out = out.as_mut_ptr();
        stream.avail_out = room;
        stream.level = LEVEL;
        stream.level_buf = self.tokens.as_mut_ptr();
        stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
        stream.end_of_stream = 1;
        let format = match self.wrapper {
            Wrapper::None => ISAL_DEFLATE,
            Wrapper::Zlib => ISAL_ZLIB,
            Wrapper::Gzip => ISAL_GZIP,
        };
        stream.gzip_flag = u16::try_from(format).expect("the flag has 16 bits in ISA-L");
        #[expect(unsafe_code, reason = "the one call that encodes")]
        // SAFETY: `next_in` points to `avail_in` readable bytes, which ISA-L does not write to (the field is const in C);
        // `next_out` to `avail_out` writable bytes, which do not overlap them; `level_buf` to `level_buf_size` writable
        // bytes. All three live for the whole call, and ISA-L keeps to these lengths.
        let code = unsafe { isal_deflate_stateless(stream) };
        let length = room - stream.avail_out;
        stream.next_in = ptr::null_mut();
        stream.next_out = ptr::null_mut();
        stream.level_buf = ptr::null_mut();
        (i64::from(code) == i64::from(COMP_OK)).then(|| usize::try_from(length).expect("usize has 64 bits"))
    }
}
