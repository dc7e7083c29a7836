/*
 * Licensing a product that has a decoder of its own: a seat by SM_CreateReader, scans by SM_CountImage.
 *
 *   own_decoder
 */
#include <stdio.h>
#include <string.h>

#include "seatmeter.h"

static SM_Barcode barcode(int format, const char *text) {
  SM_Barcode result = {format, (const unsigned char *)text, strlen(text)};
  return result;
}

int main(void) {
  DM_DLSConnectionParameters parameters;
  InitDLSConnectionParameters(&parameters);
  char handshake_code[] = "DEMO-4-SEATS";
  parameters.handshakeCode = handshake_code;
  parameters.maxConcurrentInstanceCount = 4;

  char message[512];
  int code = InitLicenseFromDLS(&parameters, message, sizeof message);
  if (code != DBR_OK) {
    fprintf(stderr, "no license: %s (%d)\n", message, code);
    return 1;
  }

  SM_Reader *reader = NULL;
  code = SM_CreateReader(&reader, message, sizeof message);
  if (code != DBR_OK) {
    fprintf(stderr, "no seat: %s (%d)\n", message, code);
    return 1;
  }

  /* What the product's own decoder found in one picture; the first two are the same code, seen twice. */
  SM_Barcode found[3] = {barcode(0x20, "4006381333931"), barcode(0x20, "4006381333931"), barcode(0x2, "SN-1")};
  size_t counted = 0;
  code = SM_CountImage(reader, found, 3, &counted);
  if (code == DBR_OK) printf("counted: %zu\n", counted);

  SM_DestroyReader(reader);
  return code == DBR_OK && SM_Shutdown(10000) == DBR_OK ? 0 : 1;
}
