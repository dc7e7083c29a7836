//! Pictures that a test makes when it needs them: one QR code in every form that a file can have.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use image::{GrayImage, RgbaImage};
use tempfile::TempDir;
use tiff::encoder::{TiffEncoder, colortype};

/// Make a folder with all pictures.
pub(crate) fn pictures() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c_examples/images/one_qr.png");
    let one = half_size(&source);
    let blank = GrayImage::from_pixel(one.width(), one.height(), image::Luma([255]));
    let path = |name: &str| folder.path().join(name);
    half_size(&source.with_file_name("four_barcodes.png")).save(path("four.png")).unwrap();
    one.save(path("one.bmp")).unwrap();
    gif(&path("one.gif"), &[&one]);
    gif(&path("pages.gif"), &[&one, &blank, &one]);
    tiff(&path("one.tif"), &[&one]);
    tiff(&path("pages.tif"), &[&one, &blank, &one]);
    std::fs::write(path("one_bits.tif"), tiff_of_bits(&one)).unwrap();
    let samples: Vec<u16> = one.iter().flat_map(|shade| [u16::from(*shade) * 257; 3]).collect();
    let mut file = TiffEncoder::new(File::create(path("one_rgb16.tif")).unwrap()).unwrap();
    file.write_image::<colortype::RGB16>(one.width(), one.height(), &samples).unwrap();
    // The bars are black, and the rest is transparent.
    let alpha = RgbaImage::from_fn(one.width(), one.height(), |x, y| {
        image::Rgba([0, 0, 0, 255 - one.get_pixel(x, y).0[0]])
    });
    alpha.save(path("one_alpha.png")).unwrap();
    let head = format!("P5 {} {} 255\n", one.width(), one.height());
    std::fs::write(path("one.pgm"), [head.as_bytes(), one.as_raw()].concat()).unwrap();
    symbol_of(b"A\0B").save(path("nul.bmp")).unwrap();
    std::fs::write(path("some.pdf"), "%PDF-1.4\n%%EOF\n").unwrap();
    folder
}

/// Draw a QR code with these bytes.
fn symbol_of(content: &[u8]) -> GrayImage {
    let barcode = zxingcpp::create(zxingcpp::BarcodeFormat::QRCode).from_slice(content).unwrap();
    let image = barcode.to_image_with(&zxingcpp::write().scale(3).add_quiet_zones(true)).unwrap();
    let (width, height) = (image.width().cast_unsigned(), image.height().cast_unsigned());
    GrayImage::from_raw(width, height, image.data()).unwrap()
}

/// Load a picture at half its size: modules of two pixels are read much faster under valgrind.
fn half_size(path: &Path) -> GrayImage {
    let full = image::open(path).unwrap().into_luma8();
    let nearest = image::imageops::FilterType::Nearest;
    image::imageops::resize(&full, full.width() / 2, full.height() / 2, nearest)
}

fn gif(path: &Path, pictures: &[&GrayImage]) {
    let mut encoder =
        image::codecs::gif::GifEncoder::new(BufWriter::new(File::create(path).unwrap()));
    for picture in pictures {
        let picture = image::DynamicImage::ImageLuma8((*picture).clone()).into_rgba8();
        encoder.encode_frame(image::Frame::new(picture)).unwrap();
    }
}

fn tiff(path: &Path, pages: &[&GrayImage]) {
    let mut file = TiffEncoder::new(File::create(path).unwrap()).unwrap();
    for page in pages {
        file.write_image::<colortype::Gray8>(page.width(), page.height(), page.as_raw()).unwrap();
    }
}

/// Write a TIFF file with one bit for each pixel, 0 for white, not compressed, as scanners do.
fn tiff_of_bits(picture: &GrayImage) -> Vec<u8> {
    let row_bytes = picture.width().div_ceil(8);
    let mut bits = vec![0_u8; (row_bytes * picture.height()) as usize];
    for (x, y, shade) in picture.enumerate_pixels() {
        if shade.0[0] < 128 {
            bits[(y * row_bytes + x / 8) as usize] |= 128 >> (x % 8);
        }
    }
    let length = u32::try_from(bits.len()).unwrap();
    let mut file = b"II*\0".to_vec();
    file.extend((8 + length).to_le_bytes());
    file.extend(bits);
    // Tag, type (3: 16 bits, 4: 32 bits), value.
    let entries = [
        (256, 4, picture.width()),
        (257, 4, picture.height()),
        (258, 3, 1),
        (259, 3, 1),
        (262, 3, 0),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, picture.height()),
        (279, 4, length),
    ];
    file.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (tag, kind, value) in entries {
        file.extend(u16::to_le_bytes(tag));
        file.extend(u16::to_le_bytes(kind));
        file.extend(1_u32.to_le_bytes());
        file.extend(u32::to_le_bytes(value));
    }
    file.extend(0_u32.to_le_bytes());
    file
}
