//! What a kernel's image says of itself, and unpacking it where QEMU would not.

use super::guests::{GUESTS, Guest};
use crate::real::RealError;
use flate2::read::GzDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of an image that say what it is.
const HEAD: u64 = 128 << 10;

/// What an image says that it is a kernel of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Says {
    /// The architecture, as Rust names it.
    host: &'static str,
    /// Bytes in a page, where it says that.
    page: Option<u64>,
}

/// How an image is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
}

/// What a file is by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kernel(Says),
    /// A packed image that begins at a byte of the file, and what is said outside of it.
    Packed(Packing, u64, Option<Says>),
}

impl Guest {
    /// The guest that an image is a kernel of, as the image says it.
    pub fn of_image(path: &Path) -> Option<&'static Self> {
        let says = match kind(&head(File::open(path).ok()?).ok()?)? {
            Kind::Kernel(says) => says,
            Kind::Packed(packing, at, outside) => {
                let inside = unpacked(path, packing, at).and_then(head);
                match inside.ok().as_deref().and_then(kind) {
                    Some(Kind::Kernel(says)) => says,
                    _ => outside?,
                }
            }
        };
        let is_said = |guest: &&Self| says.page.is_none_or(|page| page == guest.page());
        GUESTS.iter().filter(|guest| guest.host == says.host).find(is_said)
    }

    /// Whether an image that says it is a kernel of `said` may be one of this guest: not all say how large pages are.
    pub fn may_be(&self, said: &Self) -> bool {
        self.host == said.host
    }
}

/// Whether an image is as long as it says it is.
///
/// # Errors
/// Where it was cut off, with how long it is and should be.
pub(super) fn look_if_whole(image: &Path) -> Result<(), RealError> {
    let look = || {
        let file = File::open(image)?;
        let len = file.metadata()?.len();
        Ok((len, least_len(&head(file)?)))
    };
    let (len, least) = look().map_err(RealError::io(image.display().to_string()))?;
    if least <= len && len > 0 {
        return Ok(());
    }
    let image = image.display();
    if len == 0 {
        return Err(RealError::Missing(format!("{image} is empty")));
    }
    Err(RealError::Missing(format!(
        "{image} is cut off: it has {len} bytes, and by its header at least {least}; copy or build it again"
    )))
}

/// Bytes that a file with this head has at least: 0 where it does not say that. What an arm64 or riscv image calls its size has memory in
/// it that the file has not; but they are EFI programs, too.
fn least_len(head: &[u8]) -> u64 {
    let number = |at| number(head, at).map(u64::from);
    let of_bzimage = || {
        let setup = head.get(0x202..0x206).filter(|magic| *magic == b"HdrS").and(head.get(0x1f1))?;
        // No sectors stand for four; a kernel's last paragraph need not be whole.
        let sectors = if *setup == 0 { 4 } else { u64::from(*setup) };
        Some(((sectors + 1) * 512 + number(0x1f4)? * 16).saturating_sub(15))
    };
    let of_zboot = || Some(head.get(4..8).filter(|magic| *magic == b"zimg").and(number(8))? + number(12)?);
    [of_bzimage(), of_zboot(), end_of_efi(head), end_of_elf(head)].into_iter().flatten().max().unwrap_or(0)
}

/// The end of the last section that an EFI program has in its file.
fn end_of_efi(head: &[u8]) -> Option<u64> {
    let at = number(head, 0x3c)? as usize;
    head.get(at..)?.strip_prefix(b"PE\0\0")?;
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?)));
    let (sections, first) = (half(at + 6)?, at + 24 + half(at + 20)?);
    let ends = (0..sections).map_while(|n| {
        let section = first + 40 * n;
        Some(u64::from(number(head, section + 16)?) + u64::from(number(head, section + 20)?))
    });
    ends.max()
}

/// The head of a 64-bit ELF file, in either order of bytes.
#[derive(Clone, Copy)]
struct Elf<'a> {
    head: &'a [u8],
    little: bool,
}

impl<'a> Elf<'a> {
    fn of(head: &'a [u8]) -> Option<Self> {
        let little = *head.strip_prefix(b"\x7fELF\x02")?.first()? == 1;
        Some(Self { head, little })
    }

    /// The number of so many bytes at a place.
    fn word(self, at: usize, len: usize) -> Option<u64> {
        let bytes = self.head.get(at..at.checked_add(len)?)?.iter();
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.little { bytes.rev().fold(0, join) } else { bytes.fold(0, join) })
    }

    /// Where the headers of its segments are, as far as they are in the head.
    fn segments(self) -> impl Iterator<Item = usize> {
        let table = || Some((self.word(32, 8)?, self.word(54, 2)?, self.word(56, 2)?));
        let (table, size, count) = table().unwrap_or_default();
        (0..count).map_while(move |n| usize::try_from(table.checked_add(n * size)?).ok())
    }

    /// Whether it is neither a module nor a program that a loader has to complete.
    fn may_be_kernel(self) -> bool {
        const EXEC_AND_DYN: std::ops::RangeInclusive<u64> = 2..=3;
        const INTERP: u64 = 3;
        let is_whole = self.word(16, 2).is_some_and(|kind| EXEC_AND_DYN.contains(&kind));
        is_whole && !self.segments().any(|at| self.word(at, 4) == Some(INTERP))
    }
}

/// The end of the last segment that a 64-bit ELF program has in its file.
fn end_of_elf(head: &[u8]) -> Option<u64> {
    let elf = Elf::of(head)?;
    let end = |at: usize| elf.word(at.checked_add(8)?, 8)?.checked_add(elf.word(at.checked_add(32)?, 8)?);
    elf.segments().map_while(end).max()
}

/// The image as QEMU takes it: unpacked into a folder, where it is packed in a way that not every QEMU knows.
///
/// # Errors
/// Where it cannot be read, or is not what it says.
pub fn for_qemu(image: &Path, folder: &Path) -> Result<PathBuf, RealError> {
    let unpack = || {
        let Some(Kind::Packed(packing, at, _)) = kind(&head(File::open(image)?)?) else {
            return Ok(image.to_owned());
        };
        let out = folder.join("kernel");
        let cut = |error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::other("what is packed in it is cut off; copy or build it again")
            }
            _ => error,
        };
        io::copy(&mut unpacked(image, packing, at).map_err(cut)?, &mut File::create(&out)?).map_err(cut)?;
        Ok(out)
    };
    unpack().map_err(RealError::io(image.display().to_string()))
}

/// What is packed in a file from a byte on; what follows it in the file is no part of it.
fn unpacked(path: &Path, packing: Packing, at: u64) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let packed = BufReader::with_capacity(HEAD as usize, file);
    Ok(match packing {
        Packing::Gzip => Box::new(GzDecoder::new(packed)),
        Packing::Zstd => Box::new(StreamingDecoder::new(packed).map_err(io::Error::other)?),
    })
}

fn head(file: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

/// By the boot protocols' headers (`Documentation/arch/x86/boot.rst`, `Documentation/arch/arm64/booting.rst`,
/// `Documentation/arch/riscv/boot-image-header.rst`; s390's entry says `S390EP`), the header of a packed EFI program
/// (`drivers/firmware/efi/libstub/zboot-header.S`), or the machine that an ELF file or an EFI program is for.
fn kind(head: &[u8]) -> Option<Kind> {
    let is = |at: usize, bytes: &[u8]| head.get(at..at + bytes.len()) == Some(bytes);
    let kernel = |host, page| Some(Kind::Kernel(Says { host, page }));
    if is(0x202, b"HdrS") {
        return kernel("x86_64", None);
    }
    if is(56, b"ARM\x64") {
        return kernel("aarch64", page_of_arm64(*head.get(24)?));
    }
    if is(56, b"RSC\x05") {
        return kernel("riscv64", None);
    }
    if is(0x1_0008, b"S390EP") {
        return kernel("s390x", None);
    }
    if is(0, b"\x1f\x8b") {
        return Some(Kind::Packed(Packing::Gzip, 0, None));
    }
    if is(4, b"zimg") {
        let packings = [(&b"gzip"[..], Packing::Gzip), (b"zstd", Packing::Zstd)];
        let packing = packings.into_iter().find(|(name, _)| is(24, name));
        if let (Some((_, packing)), Some(at)) = (packing, number(head, 8)) {
            return Some(Kind::Packed(packing, at.into(), of_efi(head)));
        }
    }
    of_efi(head).or_else(|| of_elf(head)).map(Kind::Kernel)
}

/// From bits 2:1 of the header's flags.
const fn page_of_arm64(flags: u8) -> Option<u64> {
    match flags >> 1 & 3 {
        1 => Some(4 << 10),
        2 => Some(16 << 10),
        3 => Some(64 << 10),
        _ => None,
    }
}

fn of_efi(head: &[u8]) -> Option<Says> {
    let at = number(head, 0x3c)? as usize;
    let machine = head.get(at..at.checked_add(6)?)?.strip_prefix(b"PE\0\0")?;
    let host = match machine {
        b"\x64\xaa" => "aarch64",
        b"\x64\x86" => "x86_64",
        b"\x64\x50" => "riscv64",
        b"\x64\x62" => "loongarch64",
        _ => return None,
    };
    Some(Says { host, page: None })
}

fn of_elf(head: &[u8]) -> Option<Says> {
    let elf = Elf::of(head).filter(|elf| elf.may_be_kernel())?;
    let host = match elf.word(18, 2)? {
        21 => "powerpc64",
        22 => "s390x",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        258 => "loongarch64",
        _ => return None,
    };
    Some(Says { host, page: None })
}

/// A number of 32 bits in the order of bytes that EFI has.
fn number(head: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::fs;
    use std::io::Write;

    /// Zeros, and bytes at places of them.
    fn with(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; 0x1_1000];
        for (at, bytes) in parts {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn images_say_what_they_are() {
        let magic = |order: u8| [0x7f, b'E', b'L', b'F', 2, order];
        let elf_of = |order: u8, kind: &[u8; 2], machine: &[u8; 2]| {
            with(&[(0, &magic(order)), (16, kind), (18, machine)])
        };
        let elf =
            |order: u8, machine: &[u8; 2]| elf_of(order, if order == 1 { &[2, 0] } else { &[0, 2] }, machine);
        let efi = |machine: &[u8; 2]| with(&[(0x3c, &[0x40]), (0x40, b"PE\0\0"), (0x44, machine)]);
        let page = |flags: u8| with(&[(24, &[flags]), (56, b"ARM\x64")]);
        for (head, host, page) in [
            (with(&[(0x202, b"HdrS")]), "x86_64", None),
            (page(0), "aarch64", None),
            (page(2), "aarch64", Some(4 << 10)),
            (page(4), "aarch64", Some(16 << 10)),
            (page(6), "aarch64", Some(64 << 10)),
            (with(&[(56, b"RSC\x05")]), "riscv64", None),
            (with(&[(0x1_0008, b"S390EP")]), "s390x", None),
            (efi(b"\x64\xaa"), "aarch64", None),
            (efi(b"\x64\x62"), "loongarch64", None),
            (elf(1, &[21, 0]), "powerpc64", None),
            (elf(2, &[0, 22]), "s390x", None),
        ] {
            assert_eq!(kind(&head), Some(Kind::Kernel(Says { host, page })));
        }
        for other in [&b""[..], b"MZ", &[0xff; 70], b"\x7fELF\x02\x01"] {
            assert_eq!(kind(other), None);
        }
        let (module, one_segment) = (elf_of(1, &[1, 0], &[62, 0]), [0x40, 0, 0, 0, 0, 0, 0, 0]);
        let program = |kind: u8| {
            let head = [
                (0, &magic(1)[..]),
                (16, &[3, 0, 62, 0]),
                (32, &one_segment),
                (54, &[56, 0, 1, 0]),
                (0x40, &[kind, 0, 0, 0]),
            ];
            with(&head)
        };
        assert_eq!((super::kind(&module), super::kind(&program(3))), (None, None));
        assert!(super::kind(&program(1)).is_some());
    }

    #[test]
    fn a_file_that_is_cut_off_is_shorter_than_it_says() {
        let bzimage = with(&[(0x1f1, &[39]), (0x1f4, &[0, 2, 0, 0]), (0x202, b"HdrS")]);
        assert_eq!(least_len(&bzimage), 40 * 512 + 0x2000 - 15);
        let zboot = with(&[(4, b"zimg"), (8, &[0, 2]), (12, &[0, 0, 1])]);
        assert_eq!(least_len(&zboot), 0x1_0200);
        let pe = with(&[
            (0x3c, &[0x40]),
            (0x40, b"PE\0\0"),
            (0x46, &[2, 0]),
            (0x54, &[0x10, 0]),
            (0x68 + 16, &[0, 0x10, 0, 0, 0, 0, 2, 0]),
            (0x68 + 40 + 16, &[0, 0x20, 0, 0, 0, 0x10, 2, 0]),
        ]);
        assert_eq!(least_len(&pe), 0x2_3000);
        let elf = with(&[
            (0, &[0x7f, b'E', b'L', b'F', 2, 2]),
            (39, &[64]),
            (54, &[0, 56, 0, 1]),
            (64 + 8, &[0, 0, 0, 0, 0, 1, 0, 0]),
            (64 + 32, &[0, 0, 0, 0, 0, 2, 0, 0]),
        ]);
        assert_eq!(least_len(&elf), 0x3_0000);
        for other in [&b""[..], b"MZ", b"\x7fELF\x02\x01", &[0xff; 70]] {
            assert_eq!(least_len(other), 0);
        }
        let folder = tempfile::TempDir::new().expect("there is a folder");
        let path = folder.path().join("bzImage");
        fs::write(&path, &bzimage).expect("it can be written");
        assert!(look_if_whole(&path).is_ok());
        fs::write(&path, &bzimage[..0x3000]).expect("it can be written");
        let said = look_if_whole(&path).map_err(|error| error.to_string()).unwrap_err();
        assert!(said.contains("is cut off: it has 12288 bytes, and by its header at least 28657"), "{said}");
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let folder = tempfile::TempDir::new().expect("there is a folder");
        let kernel = with(&[(24, &[4]), (56, b"ARM\x64")]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&kernel).expect("memory is there");
        let gzip = gzip.finish().expect("memory is there");
        let mut zboot =
            with(&[(0, b"MZ\0\0zimg"), (9, &[2]), (24, b"gzip"), (0x3c, &[0x40]), (0x40, b"PE\0\0\x64\xaa")]);
        zboot.truncate(512);
        zboot.extend(gzip.iter().chain(b"size"));
        for bytes in [&gzip, &zboot] {
            let path = folder.path().join("image");
            fs::write(&path, bytes).expect("it can be written");
            assert_eq!(Guest::of_image(&path).map(|guest| guest.port), Some("arm64-16k"));
            let whole = for_qemu(&path, folder.path()).expect("it can be unpacked");
            assert_eq!(fs::read(whole).ok().as_ref(), Some(&kernel));
        }
    }
}
