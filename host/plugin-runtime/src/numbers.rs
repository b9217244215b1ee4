//! Numbers in LEB128, the encoding in which long lists of them cross the sandbox.

/// The longest encoded number in bytes.
const LONGEST: usize = 10;

/// Appends a signed number to a list.
pub(crate) fn put_signed(list: &mut Vec<u8>, number: i64) {
    let (mut bytes, mut length) = ([0; LONGEST], 0);
    leb128fmt::encode_sint_slice::<i64, 64>(number, &mut bytes, &mut length).expect("ten bytes hold 64 bits");
    list.extend(&bytes[..length]);
}

/// Appends an unsigned number to a list.
pub(crate) fn put(list: &mut Vec<u8>, number: u32) {
    let (mut bytes, mut length) = ([0; LONGEST], 0);
    leb128fmt::encode_uint_slice::<u32, 32>(number, &mut bytes, &mut length).expect("ten bytes hold 32 bits");
    list.extend(&bytes[..length]);
}

/// A plugin's list of numbers, read one after the other. The readers return `None` at the end, and
/// for bytes that are not a number.
pub(crate) struct Numbers<'a> {
    list: &'a [u8],
    at: usize,
}

impl<'a> Numbers<'a> {
    pub(crate) fn new(list: &'a [u8]) -> Self {
        Self { list, at: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.list.len()
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        leb128fmt::decode_sint_slice::<i64, 64>(self.list, &mut self.at).ok()
    }

    pub(crate) fn unsigned(&mut self) -> Option<u32> {
        leb128fmt::decode_uint_slice::<u32, 32>(self.list, &mut self.at).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back_and_other_bytes_are_not() {
        let signed = [0, 1, -1, 63, -64, 64, -65, i64::MAX, i64::MIN];
        let plain = [0, 1, 127, 128, 65535, u32::MAX];
        let mut list = Vec::new();
        signed.iter().for_each(|number| put_signed(&mut list, *number));
        plain.iter().for_each(|number| put(&mut list, *number));
        let mut numbers = Numbers::new(&list);
        assert_eq!(signed.map(|_| numbers.signed()), signed.map(Some));
        assert_eq!(plain.map(|_| numbers.unsigned()), plain.map(Some));
        assert!(numbers.is_empty());
        assert_eq!((numbers.signed(), numbers.unsigned()), (None, None));
        for bad in [vec![0x80], vec![0xFF; 30]] {
            assert_eq!(Numbers::new(&bad).signed(), None);
            assert_eq!(Numbers::new(&bad).unsigned(), None);
        }
    }
}
