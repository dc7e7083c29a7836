"""Write every kind of picture that Pillow writes, and beside each its shades of gray as Pillow reads it.

Usage: matrix.py FOLDER. For NAME.EXT the pages are NAME.EXT.0.gray and so on: width and height in 4 bytes each, the
lowest first, then the shades. NAME.EXT.refused says that the kind is not read, and a word of the message.
"""

import os
import struct
import sys

from PIL import Image, ImageDraw, TiffImagePlugin

folder = sys.argv[1]
WIDTH, HEIGHT = 83, 50


def luminance(r, g, b):
    return (306 * r + 601 * g + 117 * b + 512) >> 10


def on_paper(shade, alpha):
    return (shade * alpha + 255 * (255 - alpha) + 127) // 255


def shades(image):
    """The rule of the library, in Python, over the samples that Pillow reads."""
    mode = image.mode
    if mode == "P" or (mode in ("1", "L", "RGB") and "transparency" in image.info):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        mode = image.mode
    if mode == "1":
        image, mode = image.convert("L"), "L"
    data = image.tobytes()
    if mode == "L":
        return data
    if mode == "LA":
        return bytes(map(on_paper, data[0::2], data[1::2]))
    if mode in ("I;16", "I;16L"):
        return data[1::2]
    if mode == "I;16B":
        return data[0::2]
    if mode == "RGB":
        return bytes(map(luminance, data[0::3], data[1::3], data[2::3]))
    planes = [data[i::4] for i in range(4)]
    if mode == "RGBX":
        return bytes(map(luminance, *planes[:3]))
    if mode == "RGBA":
        return bytes(on_paper(luminance(r, g, b), a) for r, g, b, a in zip(*planes))
    if mode == "RGBa":
        return bytes(min(255, luminance(r, g, b) + 255 - a) for r, g, b, a in zip(*planes))
    if mode == "CMYK":
        return bytes(
            luminance(*(((255 - ink) * (255 - k) + 127) // 255 for ink in (c, m, y))) for c, m, y, k in zip(*planes)
        )
    raise SystemExit(f"no rule for {mode}")


def write_shades(path):
    image = Image.open(path)
    for page in range(getattr(image, "n_frames", 1)):
        image.seek(page)
        image.load()
        with open(f"{path}.{page}.gray", "wb") as file:
            file.write(struct.pack("<II", *image.size) + shades(image))


def save(name, image, **options):
    path = os.path.join(folder, name)
    image.save(path, **options)
    write_shades(path)


def refused(name, image, word, **options):
    path = os.path.join(folder, name)
    image.save(path, **options)
    with open(f"{path}.refused", "w") as file:
        file.write(word)


def drawing():
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    for x in range(WIDTH):
        draw.line((x, 0, x, 12), fill=(3 * x, 255 - 3 * x, (7 * x) % 256))
    colors = ["black", (0, 0, 200), (200, 0, 0), (0, 160, 0), (90, 90, 90), (255, 255, 0)]
    for i in range(24):
        x, y = (i * 17) % WIDTH, 14 + (i * 11) % 34
        draw.rectangle((x, y, x + i % 5, y + 3 + i % 3), fill=colors[i % len(colors)])
    return image


rgb = drawing()
gray = rgb.convert("L")
bits = gray.point(lambda shade: 255 * (shade > 127)).convert("1", dither=Image.Dither.NONE)
few = rgb.quantize(4)
many = rgb.quantize(200)
alpha = Image.frombytes("L", rgb.size, bytes((x * 3 + y * 5) % 256 for y in range(HEIGHT) for x in range(WIDTH)))
rgba, la = rgb.copy(), gray.copy()
rgba.putalpha(alpha)
la.putalpha(alpha)
clear = Image.new("RGBA", rgb.size, (0, 0, 0, 0))
clear.paste((0, 0, 0, 255), mask=bits.point(lambda shade: 255 - shade))
sixteen = Image.frombytes("I;16", rgb.size, b"".join(struct.pack("<H", 257 * s // 1 ^ 85) for s in gray.tobytes()))
cmyk = rgb.convert("CMYK")
cmyk.putdata([(c, m, y, (c * 7 + m) % 200) for c, m, y, _ in cmyk.get_flattened_data()]
             if hasattr(cmyk, "get_flattened_data") else [(c, m, y, (c * 7 + m) % 200) for c, m, y, _ in cmyk.getdata()])

for name, image in {
    "bits": bits, "gray": gray, "rgb": rgb, "rgba": rgba, "la": la, "clear": clear, "sixteen": sixteen,
    "few": few, "many": many,
}.items():
    save(f"{name}.png", image)
save("few_transparent.png", few, transparency=1)
save("many_transparent.png", many, transparency=bytes(range(200)))
save("gray_transparent.png", gray, transparency=255)
save("rgb_transparent.png", rgb, transparency=(255, 255, 0))

for name, image in {"bits": bits, "gray": gray, "rgb": rgb, "rgba": rgba, "few": few, "many": many}.items():
    save(f"{name}.bmp", image)

save("gray.gif", gray)
save("many.gif", many, interlace=1)
save("few.gif", few, interlace=0)
save("transparent.gif", few, transparency=2)
for disposal in (0, 1, 2, 3):
    pages = [few.crop((0, 0, WIDTH, HEIGHT)), rgb.rotate(180).quantize(8), few.transpose(Image.Transpose.ROTATE_180)]
    save(f"pages_{disposal}.gif", pages[0], save_all=True, append_images=pages[1:], disposal=disposal, duration=50)

for quality in (30, 95):
    for subsampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1"):
        for progressive in (False, True):
            name = f"rgb_{quality}_{subsampling.replace(':', '')}_{'progressive' if progressive else 'baseline'}.jpg"
            save(name, rgb, quality=quality, subsampling=subsampling, progressive=progressive)
save("gray.jpg", gray, quality=90)
save("gray_progressive.jpg", gray, quality=90, progressive=True)
save("cmyk.jpg", cmyk, quality=95)
save("cmyk_progressive.jpg", cmyk, quality=95, progressive=True)
save("restarts.jpg", rgb, quality=90, restart_marker_blocks=3)
save("kept_rgb.jpg", rgb, quality=95, keep_rgb=True)
save("exif.jpg", rgb, quality=90, exif=(lambda e: (e.__setitem__(0x112, 6), e)[1])(Image.Exif()))
save("optimized.jpg", rgb, quality=90, optimize=True)

plain = {"raw": None, "lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "old_deflate": "tiff_deflate", "packbits": "packbits"}
images = {
    "bits": bits, "gray": gray, "rgb": rgb, "rgba": rgba, "la": la, "clear": clear, "sixteen": sixteen, "many": many,
    "cmyk": cmyk,
}
for packing, compression in plain.items():
    for name, image in images.items():
        save(f"{name}_{packing}.tif", image, compression=compression)
        save(f"{name}_{packing}_strips.tif", image, compression=compression, tiffinfo={278: 7})
        if compression:
            save(f"{name}_{packing}_big.tif", image, compression=compression, big_tiff=True)
save("rgb_big.tif", rgb, big_tiff=True)
for packing in ("tiff_lzw", "tiff_adobe_deflate"):
    for name in ("gray", "rgb", "rgba", "sixteen"):
        save(f"{name}_{packing}_predicted.tif", images[name], compression=packing, tiffinfo={317: 2})
for compression in ("group3", "group4", "tiff_ccitt"):
    for order in (1, 2):
        save(f"{compression}_{order}.tif", bits, compression=compression, tiffinfo={266: order})
        save(f"{compression}_{order}_strips.tif", bits, compression=compression, tiffinfo={266: order, 278: 11})
for options in (1, 4, 5):
    save(f"group3_options_{options}.tif", bits, compression="group3", tiffinfo={292: options})
for order in (1, 2):
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        save(f"bits_{compression}_order_{order}.tif", bits, compression=compression, tiffinfo={266: order})
for kind in (0, 1):
    save(f"bits_white_is_{kind}.tif", bits, compression="group4", tiffinfo={262: kind})
save("jpeg.tif", rgb, compression="jpeg", quality=95)
save("jpeg_gray.tif", gray, compression="jpeg", quality=95)
save("jpeg_strips.tif", rgb, compression="jpeg", quality=95, tiffinfo={278: 16})
save("pages.tif", bits, save_all=True, append_images=[rgb, la, many], compression="tiff_lzw")
save("premultiplied.tif", Image.frombytes("RGBA", rgba.size, rgba.convert("RGBa").tobytes()), tiffinfo={338: 1})

refused("zstd.tif", rgb, "Zstandard", compression="zstd")
refused("lzma.tif", rgb, "LZMA", compression="lzma")
refused("float.tif", gray.convert("F"), "floating point")
refused("thirty_two.tif", gray.convert("I"), "32 bits")
