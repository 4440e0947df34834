"""Photo-grade I/O: what comes in crooked goes out straight, what is broken is refused in one sentence."""

import contextlib
import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from mmsr_core import images
from mmsr_core.images import ImageError, Photo, encode, open_map, open_photo, read_recipe, save_photo, to_pil, to_tensor
from mmsr_core.profiles import grey_profile, srgb_profile

RECIPE = '{"recipe": 1, "settings": {}}'
FORMATS = ("png", "jpg", "webp", "tiff", "avif")


def ramp(width=40, height=24, mode="RGB"):
    """A picture whose every corner differs."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([x * 255 // (width - 1), y * 255 // (height - 1), np.full_like(x, 40)], -1)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def as_bytes(image, form="PNG", **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def camera_exif(orientation=1):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Camera"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.01
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] = b"somewhere"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (48.0, 8.0, 1.0)
    return exif


def pixels(image):
    return np.asarray(image).astype(int)


# ------------------------------------------------------------ orientation, EXIF


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_and_reset(form, orientation):
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # what the camera did to the scene
    stored = ramp() if turned is None else ramp().transpose(Image.Transpose(turned))
    exif = camera_exif(orientation).tobytes()
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    photo = open_photo(as_bytes(stored, form, exif=exif, **options))
    assert photo.rgb.size == (40, 24)
    assert np.abs(pixels(photo.rgb) - pixels(ramp())).max() <= (8 if form == "JPEG" else 0)
    written = Image.open(io.BytesIO(encode(photo.rgb, photo, "png")))
    assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_exif_is_kept_sized_anew_and_loses_gps_on_request(form):
    photo = open_photo(as_bytes(ramp(), "JPEG", exif=camera_exif(6).tobytes()))
    result = photo.rgb.resize((96, 160))
    for strip in (False, True):
        exif = Image.open(io.BytesIO(encode(result, photo, form, RECIPE, strip_gps=strip))).getexif()
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        assert exif[ExifTags.Base.Make] == "Camera"
        assert float(inner[ExifTags.Base.ExposureTime]) == pytest.approx(0.01)
        assert (inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]) == (96, 160)
        assert bool(exif.get_ifd(ExifTags.IFD.GPSInfo)) is not strip
        assert (ExifTags.Base.MakerNote in inner) is not strip


@pytest.mark.parametrize(
    ("long_side", "size"), [(0, (160, 96)), (400, (160, 96)), (160, (160, 96)), (80, (80, 48)), (16, (16, 10))]
)
def test_a_result_is_written_no_longer_than_wanted(long_side, size):
    photo = open_photo(as_bytes(ramp().convert("RGBA"), "PNG", exif=camera_exif(1).tobytes()))
    written = Image.open(io.BytesIO(encode(photo.rgb.resize((160, 96)), photo, "png", RECIPE, long_side=long_side)))
    inner = written.getexif().get_ifd(ExifTags.IFD.Exif)
    assert written.size == size and written.mode == "RGBA"
    assert (inner[ExifTags.Base.ExifImageWidth], inner[ExifTags.Base.ExifImageHeight]) == size


def test_damaged_exif_counts_as_none():
    photo = open_photo(as_bytes(ramp(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 40))
    assert photo.exif is None
    assert encode(photo.rgb, photo, "jpg", RECIPE)


# ------------------------------------------------------------ colour


def swapped_profile():
    """An sRGB profile with red and blue exchanged: a wide-gamut profile that no one can mistake for sRGB."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for at in range(132, 132 + 12 * struct.unpack(">I", data[128:132])[0], 12):
        data[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(bytes(data[at : at + 4]), data[at : at + 4])
    return bytes(data).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_icc_is_converted_and_results_are_tagged_srgb():
    photo = open_photo(as_bytes(Image.new("RGB", (20, 20), (250, 10, 10)), icc_profile=swapped_profile()))
    red, _, blue = photo.rgb.getpixel((5, 5))
    assert blue > 240 and red < 20
    for form in FORMATS:
        written = Image.open(io.BytesIO(encode(photo.rgb, photo, form)))
        assert written.info["icc_profile"] == srgb_profile()


@pytest.mark.parametrize("icc", [b"", b"no profile", srgb_profile(), grey_profile()])
def test_broken_own_or_odd_profiles_leave_colours_alone(icc):
    photo = open_photo(as_bytes(ramp(), icc_profile=icc))
    assert np.abs(pixels(photo.rgb) - pixels(ramp())).max() == 0 or icc == grey_profile()


def test_grey_profile_is_valid_and_neutral():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile()))
    assert profile.profile.xcolor_space.strip() == "GRAY"
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    there = ImageCms.profileToProfile(levels, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert np.abs(pixels(there) - pixels(levels)[..., None]).max() <= 1


def test_cmyk_lab_and_adobe_jpeg_are_accepted():
    cmyk = Image.new("CMYK", (20, 20), (0, 255, 255, 0))
    for form in ("JPEG", "TIFF"):
        red, green, _ = open_photo(as_bytes(cmyk, form)).rgb.getpixel((3, 3))
        assert red > 200 and green < 60
    lab = Image.new("LAB", (20, 20), (128, 128, 128))
    assert open_photo(as_bytes(lab, "TIFF")).rgb.getpixel((3, 3)) == pytest.approx((119, 119, 119), abs=3)


# ------------------------------------------------------------ grey, alpha, depth


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGB"])
def test_grey_in_grey_out(mode):
    grey = Image.linear_gradient("L").resize((32, 32))
    photo = open_photo(as_bytes(grey.convert(mode)))
    assert photo.grey and photo.rgb.mode == "RGB"
    for form in ("png", "jpg", "tiff"):
        written = Image.open(io.BytesIO(encode(photo.rgb.resize((64, 64)), photo, form)))
        assert written.mode in ("L", "LA")
        assert written.info["icc_profile"] == grey_profile()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["L", "LA"])
def test_the_profile_is_of_the_kind_of_pixels_that_are_written(form, mode):
    """WebP has no grey, AVIF none beside transparency, and Pillow turns both into colours."""
    grey = Image.linear_gradient("L").resize((32, 32)).convert(mode)
    if mode == "LA":
        grey.putalpha(128)
    photo = open_photo(as_bytes(grey))
    written = Image.open(io.BytesIO(encode(photo.rgb, photo, form)))
    assert photo.grey and (photo.alpha is not None) == (mode == "LA")
    assert written.info["icc_profile"] == (grey_profile() if written.mode in ("L", "LA") else srgb_profile())


def transparent_palette():
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 255, 0, 200, 30, 30] + [0] * 750)
    image.paste(0, (0, 0, 16, 32))
    return as_bytes(image, transparency=0)


@pytest.mark.parametrize("source", ["RGBA", "LA", "P", "gif"])
def test_alpha_is_enlarged_and_reattached(source):
    mask = Image.new("L", (32, 32), 255)
    mask.paste(0, (0, 0, 16, 32))
    solid = Image.new("RGB" if source == "RGBA" else "L", (32, 32), (200, 30, 30) if source == "RGBA" else 90)
    if source in ("P", "gif"):
        data = transparent_palette()
        data = data if source == "P" else as_bytes(Image.open(io.BytesIO(data)), "GIF", transparency=0)
    else:
        solid.putalpha(mask)
        data = as_bytes(solid)
    photo = open_photo(data)
    assert np.array_equal(pixels(photo.alpha), pixels(mask))
    for form in ("png", "webp", "tiff", "avif"):
        written = Image.open(io.BytesIO(encode(photo.rgb.resize((128, 128)), photo, form)))
        alpha = pixels(written.getchannel("A"))
        assert written.size == (128, 128) and alpha[:, :56].max() <= 3 and alpha[:, 72:].min() >= 252
    flat = Image.open(io.BytesIO(encode(photo.rgb.resize((128, 128)), photo, "jpg"))).convert("RGB")
    assert min(flat.getpixel((10, 64))) > 250


def test_hidden_colours_do_not_bleed_into_edges():
    image = Image.new("RGBA", (32, 32), (0, 255, 0, 0))
    image.paste((200, 30, 30, 255), (10, 10, 22, 22))
    assert open_photo(as_bytes(image)).rgb.getextrema() == ((200, 200), (30, 30), (30, 30))


def test_sixteen_bit_grey_png_and_tiff():
    values = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    wanted = np.rint(values / 257.0)
    for form in ("PNG", "TIFF"):
        photo = open_photo(as_bytes(Image.fromarray(values), form))
        assert photo.grey and photo.bits == 16
        assert np.array_equal(pixels(photo.rgb)[..., 0], wanted)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_and_long_integer_grey(top):
    values = np.linspace(0, top, 32 * 32).reshape(32, 32)
    kinds = [np.float32] + ([np.int32] if top == 65535 else [])
    for kind in kinds:
        photo = open_photo(as_bytes(Image.fromarray(values.astype(kind)), "TIFF"))
        assert np.abs(pixels(photo.rgb)[..., 0] - values * 255 / top).max() <= 1
    broken = values.astype(np.float32)
    broken[0, 0], broken[0, 1] = np.nan, np.inf
    assert open_photo(Image.fromarray(broken)).grey


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_colour_is_rounded_not_cut(channels, suffix):
    values = np.random.default_rng(0).integers(0, 65536, (24, 40, channels)).astype(np.uint16)
    values[..., 3:] = 65535
    photo = open_photo(cv2.imencode(suffix, values)[1].tobytes())
    assert photo.bits == 16 and (photo.alpha is not None) is (channels == 4)
    assert np.abs(pixels(photo.rgb) - values[..., 2::-1] / 257.0).max() <= 0.51


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    for form in ("GIF", "WEBP", "PNG"):
        data = as_bytes(frames[0], form, save_all=True, append_images=frames[1:])
        red, _, blue = open_photo(data).rgb.getpixel((5, 5))
        assert red > 240 > 20 > blue


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM"])
def test_formats_in(form, tmp_path):
    (tmp_path / "a.dat").write_bytes(as_bytes(ramp(), form))
    photo = open_photo(tmp_path / "a.dat")
    assert photo.rgb.size == (40, 24) and photo.source_format == form and photo.name == "a.dat"
    assert np.abs(pixels(photo.rgb) - pixels(ramp())).mean() < 12


def test_a_map_is_data():
    values = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32)
    assert np.array_equal(np.asarray(open_map(as_bytes(Image.fromarray(values)))), values)
    classes = Image.fromarray((values % 12).astype(np.uint8))
    assert np.array_equal(np.asarray(open_map(as_bytes(classes, icc_profile=grey_profile()))), np.asarray(classes))
    colors = ramp()
    assert np.array_equal(pixels(open_map(as_bytes(colors, icc_profile=swapped_profile()))), pixels(colors))
    turned = colors.transpose(Image.Transpose.ROTATE_90)
    assert np.array_equal(pixels(open_map(as_bytes(turned, exif=camera_exif(6)))), pixels(colors))
    for mode in ("RGBA", "P", "LA", "1"):
        assert open_map(as_bytes(colors.convert(mode))).mode == ("L" if mode in ("LA", "1") else "RGB")
    with pytest.raises(ImageError, match="wanted"):
        open_map(b"no picture")


# ------------------------------------------------------------ refusals


def png_header(width, height):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


BROKEN = {
    "empty.png": b"",
    "text.jpg": b"hello, I am no picture" * 20,
    "program.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n",
    "cut.jpg": as_bytes(ramp(400, 300), "JPEG")[:3000],
    "cut.png": as_bytes(ramp(400, 300), "PNG")[:400],
    "cut.webp": as_bytes(ramp(400, 300), "WEBP")[:200],
    "cut.avif": as_bytes(ramp(400, 300), "AVIF")[:400],
    "zero.png": png_header(0, 0),
    "thin.png": as_bytes(ramp(300, 2).crop((0, 0, 300, 1))),
    "small.png": as_bytes(ramp(15, 40)),
    "bomb.png": png_header(60000, 60000),
    "large.png": png_header(9000, 9000),
    "new.heic": b"\0\0\0\x18ftypheic\0\0\0\0" + b"\0" * 40,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_in_one_sentence(name, tmp_path):
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(ImageError) as caught:
        open_photo(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(f"{name}: got ") and ", wanted " in message
    assert str(tmp_path) not in message and "\n" not in message and "BytesIO" not in message and len(message) < 200


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.png", "bad\0name.png"):
        with pytest.raises(ImageError, match="wanted"):
            open_photo(path)


def test_flipped_bits_never_raise_anything_else():
    random = np.random.default_rng(1)
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"):
        whole = np.frombuffer(as_bytes(ramp(64, 48), form, exif=camera_exif().tobytes()), np.uint8)
        for _ in range(40):
            data = whole.copy()
            data[random.integers(0, min(len(data), 400), 4)] = random.integers(0, 256, 4)
            with contextlib.suppress(ImageError):
                open_photo(data.tobytes())


# ------------------------------------------------------------ saving


def test_save_is_atomic(tmp_path, monkeypatch):
    target = tmp_path / "out.png"
    save_photo(target, ramp(), Photo(ramp()))
    before = target.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_photo(target, ramp(80, 80), Photo(ramp()))
    assert target.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_saving_the_same_twice_gives_the_same_bytes():
    photo = open_photo(as_bytes(ramp(), "JPEG", exif=camera_exif().tobytes()))
    for form in FORMATS:
        assert encode(photo.rgb, photo, form, RECIPE) == encode(photo.rgb, photo, form, RECIPE)


@pytest.mark.parametrize(
    ("name", "size"), [("a.xyz", (20, 20)), ("a", (20, 20)), ("a.webp", (16384, 16)), ("a.jpg", (16, 65501))]
)
def test_impossible_targets_are_refused_before_work(name, size):
    with pytest.raises(ImageError, match="wanted"):
        images.check_target(name, size)


def test_unwritable_place_is_one_sentence(tmp_path):
    with pytest.raises(ImageError, match=r"^out.png: got .*, wanted") as caught:
        save_photo(tmp_path / "none" / "out.png", ramp(), Photo(ramp()))
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("length", [10, 200_000])
def test_recipe_travels_in_every_format(form, length, tmp_path):
    recipe = '{"recipe": 1, "maps": "' + "x" * length + '"}'
    photo = open_photo(as_bytes(ramp(), "JPEG", exif=camera_exif().tobytes()))
    path = save_photo(tmp_path / f"out.{form}", photo.rgb, photo, recipe)
    assert read_recipe(path) == read_recipe(path.read_bytes()) == recipe
    assert Image.open(path).getexif()[ExifTags.Base.Make] == "Camera"


def test_recipe_from_json_and_from_things_that_have_none(tmp_path):
    (tmp_path / "r.json").write_text(RECIPE)
    assert read_recipe(tmp_path / "r.json") == RECIPE
    assert read_recipe(as_bytes(ramp())) is None
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "text.txt").write_text("hello")
    for name in ("other.json", "text.txt", "none.json"):
        with pytest.raises(ImageError, match="wanted"):
            read_recipe(tmp_path / name)


# ------------------------------------------------------------ tensors


def test_tensor_round_trip_is_exact_and_in_range():
    image = Image.fromarray(np.arange(256 * 3, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3))
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 16, 16) and tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(pixels(to_pil(tensor)), pixels(image))
    assert to_pil(tensor[0] * 5).getextrema() == ((0, 255),) * 3


def test_not_finite_is_an_error_not_a_black_picture():
    tensor = to_tensor(ramp())
    tensor[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="finite"):
        to_pil(tensor)
