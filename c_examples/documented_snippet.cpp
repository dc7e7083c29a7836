/*
 * The documented path, in one program: ask for four seats, get licensed, look for a free seat, read a picture.
 *
 *   documented_snippet IMAGE
 *
 * The server is taken from the environment variable SEATMETER_SERVER, because the program names none.
 */
#include <cstdio>

#include "DynamsoftBarcodeReader.h"

using dynamsoft::dbr::CBarcodeReader;

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: documented_snippet IMAGE\n");
    return 2;
  }

  DM_DLSConnectionParameters parameters;
  CBarcodeReader::InitDLSConnectionParameters(&parameters);
  char handshake_code[] = "DEMO-4-SEATS";
  parameters.handshakeCode = handshake_code;
  // At most four readers at a time, in all programs of this device together.
  parameters.maxConcurrentInstanceCount = 4;

  char message[512];
  int code = CBarcodeReader::InitLicenseFromDLS(&parameters, message, sizeof message);
  if (code != DBR_OK) {
    std::fprintf(stderr, "no license: %s (%d)\n", message, code);
    return 1;
  }

  int idle = CBarcodeReader::GetIdleInstancesCount();
  std::printf("idle seats before: %d\n", idle);
  if (idle <= 0) {
    std::fprintf(stderr, idle == 0 ? "all seats are in use\n" : "the license has to be refreshed\n");
    return 1;
  }

  CBarcodeReader *reader = new CBarcodeReader();
  std::printf("idle seats during: %d\n", CBarcodeReader::GetIdleInstancesCount());

  code = reader->DecodeFile(argv[1], "");
  if (code != DBR_OK) std::fprintf(stderr, "%s: %s (%d)\n", argv[1], CBarcodeReader::GetErrorString(code), code);

  TextResultArray *results = NULL;
  reader->GetAllTextResults(&results);
  for (int i = 0; i < results->resultsCount; i++) {
    const TextResult *result = results->results[i];
    std::printf("%s: %s\n", result->barcodeFormatString, result->barcodeText);
  }
  CBarcodeReader::FreeTextResults(&results);

  delete reader;
  std::printf("idle seats after: %d\n", CBarcodeReader::GetIdleInstancesCount());
  return code == DBR_OK ? 0 : 1;
}
