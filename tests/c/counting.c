/* Counts images: each different barcode once, by symbology and content. The server must get 6 scans. */
#include "common.h"

static SM_Barcode code(int format, const char *text) {
  SM_Barcode barcode = {format, (const unsigned char *)text, strlen(text)};
  return barcode;
}

int main(void) {
  SM_Reader *reader = NULL;
  size_t counted = 99;
  SM_Barcode none = {1, NULL, 0}, broken = {1, NULL, 3};

  get_licensed();
  CHECK_INT(0, SM_CreateReader(&reader, NULL, 0));

  SM_Barcode same[2] = {code(0x20, "4006381333931"), code(0x20, "4006381333931")};
  CHECK_INT(0, SM_CountImage(reader, same, 2, &counted));
  CHECK_INT(1, counted);

  SM_Barcode different[4] = {code(1, "A"), code(1, "B"), code(2, "A"), none};
  CHECK_INT(0, SM_CountImage(reader, different, 4, &counted));
  CHECK_INT(4, counted);

  /* Another image is another job: the same code counts again. */
  CHECK_INT(0, SM_CountImage(reader, same, 1, NULL));

  CHECK_INT(0, SM_CountImage(reader, NULL, 0, &counted));
  CHECK_INT(0, counted);
  CHECK_INT(-10002, SM_CountImage(reader, NULL, 1, &counted));
  CHECK_INT(-10002, SM_CountImage(reader, &broken, 1, &counted));
  CHECK_INT(-10038, SM_CountImage(reader, same, (size_t)1 << 40, &counted));
  CHECK_INT(0, counted);

  SM_DestroyReader(reader);
  CHECK_INT(0, SM_Shutdown(10000));
  return 0;
}
