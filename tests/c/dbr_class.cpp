// The class as its documentation uses it, in one command line program: argv[1] is the folder of generated pictures.
#include <iostream>
#include <string>

#include "DynamsoftCommon.h"
#include "DynamsoftBarcodeReader.h"
#include "dbr_common.h"

using namespace std;
using namespace dynamsoft::dbr;

static void print(CBarcodeReader *reader) {
  TextResultArray *paryResult = NULL;
  reader->GetAllTextResults(&paryResult);
  for (int iIndex = 0; iIndex < paryResult->resultsCount; iIndex++) {
    PTextResult result = paryResult->results[iIndex];
    cout << result->barcodeFormatString << ": " << result->barcodeText << endl;
    switch (result->barcodeFormat) {
      case BF_QR_CODE: {
        const QRCodeDetails *details = static_cast<QRCodeDetails *>(result->detailedResult);
        CHECK(details->version >= 1 && details->rows == 17 + 4 * details->version && details->moduleSize == 2);
        CHECK_INT(2, details->model);
        CHECK_INT(-1, details->page);
        break;
      }
      case BF_DATAMATRIX: {
        const DataMatrixDetails *details = static_cast<DataMatrixDetails *>(result->detailedResult);
        CHECK(details->rows > 0 && details->dataRegionNumber >= 1 && details->dataRegionRows == details->rows - 2);
        break;
      }
      case BF_EAN_13: {
        const OneDCodeDetails *details = static_cast<OneDCodeDetails *>(result->detailedResult);
        CHECK_INT(1, details->checkDigitBytesLength);
        CHECK_INT('1', details->checkDigitBytes[0]);
        CHECK_INT(2, details->moduleSize);
        break;
      }
      default:
        CHECK_INT(BF_CODE_128, result->barcodeFormat);
    }
  }
  CBarcodeReader::FreeTextResults(&paryResult);
}

// This reader is never deleted: a leaked reader is not a fault of the library.
static CBarcodeReader *early;

int main(int argc, const char *argv[]) {
  CHECK_INT(2, argc);
  const string picture = string(argv[1]) + "/four.png";
  char errorMessage[256];

  // The key is not valid. The program continues, as many do, and makes its reader.
  CHECK(CBarcodeReader::InitLicense("DLS2 no such key", errorMessage, 256) != DBR_OK);
  CHECK(errorMessage[0] != '\0');
  early = new CBarcodeReader();
  CHECK_INT(DMERR_NO_LICENSE, early->DecodeFile(picture.c_str()));
  TextResultArray *masked = NULL;
  early->GetAllTextResults(&masked);
  CHECK_INT(4, masked->resultsCount);
  for (int i = 0; i < masked->resultsCount; i++) {
    CHECK_INT(string::npos, string(masked->results[i]->barcodeText).find_first_not_of('*'));
    CHECK(masked->results[i]->exception != NULL && masked->results[i]->detailedResult != NULL);
  }
  early->FreeTextResults(&masked);

  // The demo license is for servers; the key does not say where this runs.
  CBarcodeReader reader;
  CHECK_INT(DBR_OK, reader.InitLicense("DEMO-4-SEATS"));
  PublicRuntimeSettings *settings = new PublicRuntimeSettings();
  reader.GetRuntimeSettings(settings);
  settings->expectedBarcodesCount = 32;
  settings->timeout = 0;
  settings->furtherModes.deformationResistingModes[0] = DRM_GENERAL;
  CHECK_INT(DBR_OK, reader.UpdateRuntimeSettings(settings));
  CHECK_INT(DBR_OK, reader.SetModeArgument("DeformationResistingModes", 0, "Level", "5"));
  delete settings;
  int errorCode = reader.DecodeFile(picture.c_str(), "");
  if (errorCode != DBR_OK) cerr << CBarcodeReader::GetErrorString(errorCode) << endl;
  CHECK_INT(DBR_OK, errorCode);
  print(&reader);
  char *content = NULL;
  reader.OutputSettingsToStringPtr(&content, "currentRuntimeSettings");
  CHECK_INT(DBR_OK, reader.InitRuntimeSettingsWithString(content, CM_IGNORE, errorMessage, 256));
  reader.FreeSettingsString(&content);
  CHECK_INT(DBR_OK, reader.ResetRuntimeSettings());

  CBarcodeReader *pooled = CBarcodeReader::GetInstance();
  if (pooled != NULL) {
    CHECK(pooled->IsInstanceValid());
    pooled->Recycle();
  }
  return 0;
}
