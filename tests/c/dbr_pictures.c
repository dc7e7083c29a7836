/* Every way in which the DBR API takes a picture. argv[1]: the folder of pictures, argv[2]: that of generated ones. */
#include "dbr_common.h"

static const char TEXT[] = "seatmeter: one QR code";
static unsigned char *gray;
static int width, height;

static void files_in_memory(void *reader, const char *pictures, const char *made) {
  static const char *const names[] = {"one.bmp", "one.gif", "one.tif", "one_bits.tif", "one_rgb16.tif", "one_alpha.png"};
  size_t i;
  int size;
  unsigned char *bytes = dbr_file(pictures, "one_qr.jpg", &size);
  CHECK_INT(DBR_OK, DBR_DecodeFileInMemory(reader, bytes, size, ""));
  dbr_expect(reader, TEXT);
  CHECK_INT(DBRERR_NULL_POINTER, DBR_DecodeFileInMemory(reader, NULL, size, ""));
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, DBR_DecodeFileInMemory(reader, bytes, -1, ""));
  CHECK_INT(DBRERR_FILETYPE_NOT_SUPPORTED, DBR_DecodeFileInMemory(reader, bytes, 0, ""));
  dbr_expect(reader, NULL);
  free(bytes);
  for (i = 0; i < sizeof names / sizeof names[0]; i++) {
    char path[2048];
    snprintf(path, sizeof path, "%s/%s", made, names[i]);
    CHECK_INT(DBR_OK, DBR_DecodeFile(reader, path, NULL));
    dbr_expect(reader, TEXT);
  }
}

static void pages(void *reader, const char *made) {
  char path[2048];
  TextResultArray *results;
  static const char *const names[] = {"pages.tif", "pages.gif"};
  int i;
  for (i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", made, names[i]);
    CHECK_INT(DBR_OK, DBR_DecodeFile(reader, path, ""));
    CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
    CHECK_INT(2, results->resultsCount);
    CHECK_INT(0, results->results[0]->localizationResult->pageNumber);
    CHECK_INT(2, results->results[1]->localizationResult->pageNumber);
    DBR_FreeTextResults(&results);
  }
  snprintf(path, sizeof path, "%s/some.pdf", made);
  CHECK_INT(DBRERR_PDF_DLL_MISSING, DBR_DecodeFile(reader, path, ""));
  CHECK_CONTAINS(DBR_GetErrorString(DBRERR_PDF_DLL_MISSING), "PDF");
}

/* An unreadable page takes nothing away from the others. */
static void bad_page(void *reader, const char *made) {
  TextResultArray *results;
  int size;
  unsigned char *bytes = dbr_file(made, "pages.gif", &size);
  /* The third picture is cut short. */
  CHECK_INT(DBRERR_IMAGE_READ_FAILED, DBR_DecodeFileInMemory(reader, bytes, size - 50, ""));
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  CHECK_INT(1, results->resultsCount);
  CHECK(strcmp(results->results[0]->barcodeText, TEXT) == 0);
  CHECK_INT(0, results->results[0]->localizationResult->pageNumber);
  DBR_FreeTextResults(&results);
  free(bytes);
}

/* A text ends at its first NUL; the bytes have the rest. */
static void contents(void *reader, const char *made) {
  char path[2048];
  TextResultArray *results;
  snprintf(path, sizeof path, "%s/nul.bmp", made);
  CHECK_INT(DBR_OK, DBR_DecodeFile(reader, path, ""));
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  CHECK_INT(1, results->resultsCount);
  CHECK(strcmp(results->results[0]->barcodeText, "A") == 0);
  CHECK_INT(3, results->results[0]->barcodeBytesLength);
  CHECK(memcmp(results->results[0]->barcodeBytes, "A\0B", 3) == 0);
  DBR_FreeTextResults(&results);
}

/* Writes one pixel of each format from its shade. */
static int put(unsigned char *to, int format, int x, unsigned char shade) {
  static const int bytes[] = {0, 0, 1, 1, 2, 2, 3, 4, 6, 8, 4, 8, 3};
  int i, n = bytes[format];
  if (format <= 1) {
    int bit = (shade > 127) == (format == IPF_BINARY);
    if (x % 8 == 0) to[x / 8] = 0;
    to[x / 8] = (unsigned char)(to[x / 8] | bit << (7 - x % 8));
    return 0;
  }
  if (format == IPF_RGB_565 || format == IPF_RGB_555) {
    unsigned five = shade >> 3, pixel;
    pixel = format == IPF_RGB_565 ? five << 11 | (unsigned)(shade >> 2) << 5 | five : five << 10 | five << 5 | five;
    to[2 * x] = (unsigned char)(pixel & 255);
    to[2 * x + 1] = (unsigned char)(pixel >> 8);
    return 0;
  }
  for (i = 0; i < n; i++) to[n * x + i] = shade;
  return 0;
}

static void buffers(void *reader) {
  int format, x, y;
  for (format = IPF_BINARY; format <= IPF_BGR_888; format++) {
    int stride = width * 8 + 5;
    unsigned char *buffer = (unsigned char *)malloc((size_t)(stride * height * 2));
    ImageData data;
    CHECK(buffer != NULL);
    for (y = 0; y < height; y++)
      for (x = 0; x < width; x++) put(buffer + y * stride, format, x, gray[y * width + x]);
    CHECK_INT(DBR_OK, DBR_DecodeBuffer(reader, buffer, width, height, stride, (ImagePixelFormat)format, ""));
    dbr_expect(reader, TEXT);
    data.bytes = buffer;
    data.bytesLength = stride * height;
    data.width = width;
    data.height = height;
    data.stride = stride;
    data.format = (ImagePixelFormat)format;
    if (format == IPF_BINARY) {
      CHECK_INT(DBR_OK, DBR_DecodeImageData(reader, &data, ""));
      dbr_expect(reader, TEXT);
    }
    data.bytesLength = stride * (height - 1);
    CHECK_INT(DBRERR_IMAGE_READ_FAILED, DBR_DecodeImageData(reader, &data, ""));
    free(buffer);
  }
  CHECK_INT(DBRERR_NULL_POINTER, DBR_DecodeBuffer(reader, NULL, width, height, width, IPF_GRAYSCALED, ""));
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, DBR_DecodeBuffer(reader, gray, 0, height, width, IPF_GRAYSCALED, ""));
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, DBR_DecodeBuffer(reader, gray, width, height, 1, IPF_GRAYSCALED, ""));
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID,
            DBR_DecodeBuffer(reader, gray, width, height, width, (ImagePixelFormat)99, ""));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_DecodeImageData(reader, NULL, ""));
}

static void base64(void *reader, const char *pictures) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  int size, i;
  unsigned char *bytes = dbr_file(pictures, "one_qr.png", &size);
  char *text = (char *)malloc((size_t)size * 2), *to = text;
  CHECK(text != NULL);
  for (i = 0; i < size; i += 3) {
    unsigned triple = (unsigned)bytes[i] << 16;
    if (i + 1 < size) triple |= (unsigned)bytes[i + 1] << 8;
    if (i + 2 < size) triple |= bytes[i + 2];
    *to++ = letters[triple >> 18];
    *to++ = letters[triple >> 12 & 63];
    *to++ = i + 1 < size ? letters[triple >> 6 & 63] : '=';
    *to++ = i + 2 < size ? letters[triple & 63] : '=';
  }
  *to = '\0';
  CHECK_INT(DBR_OK, DBR_DecodeBase64String(reader, text, ""));
  dbr_expect(reader, TEXT);
  CHECK_INT(DBRERR_IMAGE_READ_FAILED, DBR_DecodeBase64String(reader, "!", ""));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_DecodeBase64String(reader, NULL, ""));
  free(text);
  free(bytes);
}

static void put_int(unsigned char *to, int value) {
  unsigned number = (unsigned)value;
  int i;
  for (i = 0; i < 4; i++) to[i] = (unsigned char)(number >> 8 * i & 255);
}

static void bitmaps(void *reader) {
  int row = (width * 3 + 3) / 4 * 4, x, y;
  unsigned char *dib = (unsigned char *)calloc(1, (size_t)(40 + row * height));
  CHECK(dib != NULL);
  put_int(dib, 40);
  put_int(dib + 4, width);
  put_int(dib + 8, height);
  dib[12] = 1;
  dib[14] = 24;
  for (y = 0; y < height; y++)
    for (x = 0; x < width; x++)
      memset(dib + 40 + (height - 1 - y) * row + 3 * x, gray[y * width + x], 3);
  CHECK_INT(DBR_OK, DBR_DecodeDIB(reader, dib, ""));
  dbr_expect(reader, TEXT);
  dib[14] = 23;
  CHECK_INT(DBRERR_BPP_NOT_SUPPORTED, DBR_DecodeDIB(reader, dib, ""));
  dib[0] = 39;
  CHECK_INT(DBRERR_DIB_BUFFER_INVALID, DBR_DecodeDIB(reader, dib, ""));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_DecodeDIB(reader, NULL, ""));
  free(dib);
}

int main(int argc, char **argv) {
  void *reader;
  CHECK_INT(3, argc);
  dbr_license();
  reader = DBR_CreateInstance();
  gray = dbr_gray(argv[2], "one.pgm", &width, &height);
  files_in_memory(reader, argv[1], argv[2]);
  pages(reader, argv[2]);
  bad_page(reader, argv[2]);
  contents(reader, argv[2]);
  buffers(reader);
  base64(reader, argv[1]);
  bitmaps(reader);
  free(gray);
  DBR_DestroyInstance(reader);
  return 0;
}
