// Layouts of the DBR 8.x structures, as programs compiled for that API expect them (x86-64 Linux, measured on
// its release 8.8), and that both headers mean the same by them. Everything here is checked by the compiler.
#include <cstddef>

#include "DynamsoftBarcodeReader.h"
// Second, so that the structure both declare comes from the first.
#include "seatmeter.h"

#define SIZE(type, bytes) static_assert(sizeof(type) == bytes, #type)
#define FIELD(type, field, offset) static_assert(offsetof(type, field) == offset, #type "." #field)

SIZE(DM_DLSConnectionParameters, 128);
FIELD(DM_DLSConnectionParameters, mainServerURL, 0);
FIELD(DM_DLSConnectionParameters, standbyServerURL, 8);
FIELD(DM_DLSConnectionParameters, handshakeCode, 16);
FIELD(DM_DLSConnectionParameters, sessionPassword, 24);
FIELD(DM_DLSConnectionParameters, deploymentType, 32);
FIELD(DM_DLSConnectionParameters, chargeWay, 36);
FIELD(DM_DLSConnectionParameters, UUIDGenerationMethod, 40);
FIELD(DM_DLSConnectionParameters, maxBufferDays, 44);
FIELD(DM_DLSConnectionParameters, limitedLicenseModulesCount, 48);
FIELD(DM_DLSConnectionParameters, limitedLicenseModules, 52);
FIELD(DM_DLSConnectionParameters, maxConcurrentInstanceCount, 60);
FIELD(DM_DLSConnectionParameters, organizationID, 64);
FIELD(DM_DLSConnectionParameters, products, 72);
FIELD(DM_DLSConnectionParameters, reserved, 76);

SIZE(TextResultArray, 12);
FIELD(TextResultArray, resultsCount, 0);
FIELD(TextResultArray, results, 4);

SIZE(TextResult, 132);
FIELD(TextResult, barcodeFormat, 0);
FIELD(TextResult, barcodeFormatString, 4);
FIELD(TextResult, barcodeFormat_2, 12);
FIELD(TextResult, barcodeFormatString_2, 16);
FIELD(TextResult, barcodeText, 24);
FIELD(TextResult, barcodeBytes, 32);
FIELD(TextResult, barcodeBytesLength, 40);
FIELD(TextResult, localizationResult, 44);
FIELD(TextResult, detailedResult, 52);
FIELD(TextResult, resultsCount, 60);
FIELD(TextResult, results, 64);
FIELD(TextResult, exception, 72);
FIELD(TextResult, isDPM, 80);
FIELD(TextResult, isMirrored, 84);
FIELD(TextResult, reserved, 88);

SIZE(LocalizationResult, 160);
FIELD(LocalizationResult, terminatePhase, 0);
FIELD(LocalizationResult, barcodeFormat, 4);
FIELD(LocalizationResult, barcodeFormatString, 8);
FIELD(LocalizationResult, barcodeFormat_2, 16);
FIELD(LocalizationResult, barcodeFormatString_2, 20);
FIELD(LocalizationResult, x1, 28);
FIELD(LocalizationResult, y1, 32);
FIELD(LocalizationResult, x2, 36);
FIELD(LocalizationResult, y2, 40);
FIELD(LocalizationResult, x3, 44);
FIELD(LocalizationResult, y3, 48);
FIELD(LocalizationResult, x4, 52);
FIELD(LocalizationResult, y4, 56);
FIELD(LocalizationResult, angle, 60);
FIELD(LocalizationResult, moduleSize, 64);
FIELD(LocalizationResult, pageNumber, 68);
FIELD(LocalizationResult, regionName, 72);
FIELD(LocalizationResult, documentName, 80);
FIELD(LocalizationResult, resultCoordinateType, 88);
FIELD(LocalizationResult, accompanyingTextBytes, 92);
FIELD(LocalizationResult, accompanyingTextBytesLength, 100);
FIELD(LocalizationResult, confidence, 104);
FIELD(LocalizationResult, reserved, 108);

SIZE(BarcodeFormat, 4);
SIZE(BarcodeFormat_2, 4);
static_assert(BF_ALL == -31457281, "BF_ALL");
static_assert(BF_QR_CODE == 0x04000000, "BF_QR_CODE");
static_assert(BF_GS1_COMPOSITE == -2147483647 - 1, "BF_GS1_COMPOSITE");
static_assert(DBRERR_FILE_NOT_FOUND == -10005 && DMERR_NO_LICENSE == -20000, "errors");

int main() { return 0; }
