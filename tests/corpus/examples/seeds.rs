//! Writes what the fuzz targets begin with: `seeds FOLDER` makes a folder for each target in it.

use std::{error::Error, fs, path::PathBuf};

use imprint_corpus::{
    Bait, Content, all,
    inside::{self, Ext, Fat, Xfs},
    valid,
};

/// Longer ones slow the fuzzer down more than they help.
const MAX_SEED: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("which folder?")?);
    let write = |format: &str, id: &str, packed: &[u8]| -> Result<(), Box<dyn Error>> {
        let folder = folder.join(format);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(id), packed)?)
    };
    for (format, id, image) in valid() {
        write(format, &format!("valid-{id}"), &image.pack())?;
    }
    for case in all(&Bait::default()) {
        let target = if case.id.starts_with("foreign-") { "foreign" } else { case.format };
        if let (_, Content::File(image)) = &case.files[0] {
            let packed = image.pack();
            if packed.len() <= MAX_SEED {
                write(target, &case.id, &packed)?;
            }
        }
    }
    for (id, disk) in [("ext", Ext::new().disk()), ("xfs", Xfs::new().disk()), ("fat", &Fat::new().disk())] {
        write("inside", &format!("valid-{id}"), &disk.pack())?;
    }
    for case in inside::cases().into_iter().filter(inside::Case::ends_natively) {
        let packed = case.disk.pack();
        if packed.len() <= MAX_SEED {
            write("inside", case.id, &packed)?;
        }
    }
    Ok(())
}
