//! Hives of Windows' registry, made by hand.

/// Where cells begin, and the bytes of the bin that they are in.
const CELLS: usize = 4096;

/// A hive that grows by its cells.
pub struct Hive {
    bytes: Vec<u8>,
    root: u32,
}

/// The value of a key.
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(u32),
}

/// A key: its name, its values, and the keys below it.
pub struct Key<'a> {
    /// The name.
    pub name: &'a str,
    /// The values.
    pub values: Vec<(&'a str, Value<'a>)>,
    /// The keys below.
    pub keys: Vec<Key<'a>>,
}

impl<'a> Key<'a> {
    /// A key with other keys in it.
    pub fn folder(name: &'a str, keys: Vec<Key<'a>>) -> Self {
        Self { name, values: Vec::new(), keys }
    }

    /// A key with values.
    pub fn of(name: &'a str, values: Vec<(&'a str, Value<'a>)>) -> Self {
        Self { name, values, keys: Vec::new() }
    }
}

impl Hive {
    /// A hive with these keys below its root.
    pub fn new(keys: &[Key<'_>]) -> Self {
        let mut hive = Self { bytes: vec![0; CELLS], root: 0 };
        // The first 32 bytes of the bin are its header.
        hive.bytes.extend(b"hbin");
        hive.bytes.resize(CELLS + 32, 0);
        let children: Vec<u32> = keys.iter().map(|key| hive.key(key)).collect();
        hive.root = hive.node("ROOT", &children, &[]);
        hive
    }

    /// The number by which a cell that is appended now is referred to.
    fn next(&self) -> u32 {
        u32::try_from(self.bytes.len() - CELLS).expect("a small hive")
    }

    /// Appends a cell.
    pub fn cell(&mut self, content: &[u8]) -> u32 {
        let at = self.next();
        let length = (content.len() + 4).max(16).next_multiple_of(8);
        let end = self.bytes.len() + length;
        self.bytes.extend((-i32::try_from(length).expect("a small cell")).to_le_bytes());
        self.bytes.extend(content);
        self.bytes.resize(end, 0);
        at
    }

    fn key(&mut self, key: &Key<'_>) -> u32 {
        let children: Vec<u32> = key.keys.iter().map(|child| self.key(child)).collect();
        let values: Vec<u32> = key.values.iter().map(|(name, value)| self.value(name, value)).collect();
        self.node(key.name, &children, &values)
    }

    /// Appends a key with what is below it.
    pub fn node(&mut self, name: &str, children: &[u32], values: &[u32]) -> u32 {
        let mut list = b"lf".to_vec();
        list.extend(u16::try_from(children.len()).expect("few keys").to_le_bytes());
        list.extend(children.iter().flat_map(|child| [child.to_le_bytes(), [0; 4]].concat()));
        let list = self.cell(&list);
        let value_list: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let value_list = self.cell(&value_list);
        let count = |length: usize| u32::try_from(length).expect("few of them").to_le_bytes();
        let mut cell = vec![0; 76];
        cell[..4].copy_from_slice(b"nk\x20\0");
        cell[20..24].copy_from_slice(&count(children.len()));
        cell[28..32].copy_from_slice(&list.to_le_bytes());
        cell[36..40].copy_from_slice(&count(values.len()));
        cell[40..44].copy_from_slice(&value_list.to_le_bytes());
        cell[72..74].copy_from_slice(&u16::try_from(name.len()).expect("a short name").to_le_bytes());
        cell.extend(name.as_bytes());
        self.cell(&cell)
    }

    fn value(&mut self, name: &str, value: &Value<'_>) -> u32 {
        let (kind, length, data) = match value {
            Value::Number(number) => (4_u32, 0x8000_0004, *number),
            Value::Text(text) => {
                let units: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
                (1, u32::try_from(units.len()).expect("a short text"), self.cell(&units))
            }
        };
        let mut cell = b"vk".to_vec();
        cell.extend(u16::try_from(name.len()).expect("a short name").to_le_bytes());
        cell.extend([length.to_le_bytes(), data.to_le_bytes(), kind.to_le_bytes()].concat());
        cell.extend([1, 0, 0, 0]);
        cell.extend(name.as_bytes());
        self.cell(&cell)
    }

    /// Makes another cell the root.
    pub fn set_root(&mut self, root: u32) {
        self.root = root;
    }

    /// The file.
    pub fn file(&self) -> Vec<u8> {
        let mut file = self.bytes.clone();
        file.resize(file.len().next_multiple_of(4096), 0);
        file[..4].copy_from_slice(b"regf");
        file[36..40].copy_from_slice(&self.root.to_le_bytes());
        let length = u32::try_from(file.len() - CELLS).expect("a small hive");
        file[40..44].copy_from_slice(&length.to_le_bytes());
        file[CELLS + 8..CELLS + 12].copy_from_slice(&length.to_le_bytes());
        file
    }
}
