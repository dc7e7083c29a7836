/* Gets a license with the key from its argument, as a program for 9.x does, and prints the code. */
#include "check.h"
#include "DynamsoftBarcodeReader.h"

int main(int argc, char **argv) {
  char message[256];
  int code;
  CHECK_INT(2, argc);
  code = DBR_InitLicense(argv[1], message, sizeof message);
  CHECK((code == DBR_OK) == (message[0] == '\0'));
  printf("%d\n", code);
  return 0;
}
