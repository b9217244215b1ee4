//! Numbers in LEB128, in which long lists of them cross.

/// The longest number.
const LONGEST: usize = 10;

/// Appends a signed number.
pub(super) fn put_signed(list: &mut Vec<u8>, number: i64) {
    let (mut bytes, mut length) = ([0; LONGEST], 0);
    leb128fmt::encode_sint_slice::<i64, 64>(number, &mut bytes, &mut length).expect("ten bytes hold 64 bits");
    list.extend(&bytes[..length]);
}

/// Appends a number.
pub(super) fn put(list: &mut Vec<u8>, number: u32) {
    let (mut bytes, mut length) = ([0; LONGEST], 0);
    leb128fmt::encode_uint_slice::<u32, 32>(number, &mut bytes, &mut length).expect("ten bytes hold 32 bits");
    list.extend(&bytes[..length]);
}

/// Takes a signed number from a list of the host's, which is believed.
pub(super) fn take_signed(list: &[u8], at: &mut usize) -> i64 {
    leb128fmt::decode_sint_slice::<i64, 64>(list, at).expect("the host writes whole numbers")
}

/// Takes a number from a list of the host's.
pub(super) fn take(list: &[u8], at: &mut usize) -> u32 {
    leb128fmt::decode_uint_slice::<u32, 32>(list, at).expect("the host writes whole numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let signed = [0, 1, -1, 63, -64, 64, -65, i64::MAX, i64::MIN];
        let plain = [0, 1, 127, 128, 65535, u32::MAX];
        let mut list = Vec::new();
        signed.iter().for_each(|number| put_signed(&mut list, *number));
        plain.iter().for_each(|number| put(&mut list, *number));
        assert_eq!(list[..3], [0, 1, 0x7F]);
        let mut at = 0;
        assert_eq!(signed.map(|_| take_signed(&list, &mut at)), signed);
        assert_eq!(plain.map(|_| take(&list, &mut at)), plain);
        assert_eq!(at, list.len());
    }
}
