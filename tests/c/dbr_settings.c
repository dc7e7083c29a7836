/* Settings, templates, filters and arguments of modes through the DBR API. argv[1]: the folder of generated pictures. */
#include "dbr_common.h"

static char picture[1024];
static char message[512];

static int found(void *reader, const char *template_name, int expected_code) {
  TextResultArray *results = NULL;
  int i, count;
  CHECK_INT(expected_code, DBR_DecodeFile(reader, picture, template_name));
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  count = results->resultsCount;
  for (i = 0; i < count; i++) {
    const TextResult *one = results->results[i];
    CHECK(one->exception == NULL && one->resultsCount == 1 && one->results[0]->confidence > 0);
    CHECK(one->detailedResult != NULL && one->results[0]->detailedResult == one->detailedResult);
    CHECK(one->localizationResult->confidence >= 30 && one->localizationResult->confidence <= 100);
    CHECK_INT(TP_BARCODE_RECOGNIZED, one->localizationResult->terminatePhase);
  }
  DBR_FreeTextResults(&results);
  return count;
}

static PublicRuntimeSettings settings_of(void *reader) {
  PublicRuntimeSettings settings;
  memset(&settings, 0x55, sizeof settings);
  CHECK_INT(DBR_OK, DBR_GetRuntimeSettings(reader, &settings));
  return settings;
}

static void update(void *reader, PublicRuntimeSettings *settings) {
  int code = DBR_UpdateRuntimeSettings(reader, settings, message, sizeof message);
  if (code != DBR_OK) fprintf(stderr, "%s\n", message);
  CHECK_INT(DBR_OK, code);
  CHECK_INT(0, strlen(message));
}

static void defaults(void *reader) {
  PublicRuntimeSettings s = settings_of(reader);
  int i;
  CHECK_INT(TP_BARCODE_RECOGNIZED, s.terminatePhase);
  CHECK_INT(10000, s.timeout);
  CHECK_INT(4, s.maxAlgorithmThreadCount);
  CHECK_INT(0, s.expectedBarcodesCount);
  CHECK_INT(BF_ALL, s.barcodeFormatIds);
  CHECK_INT(BF2_NULL, s.barcodeFormatIds_2);
  CHECK_INT(300, s.pdfRasterDPI);
  CHECK_INT(2300, s.scaleDownThreshold);
  CHECK_INT(BM_LOCAL_BLOCK, s.binarizationModes[0]);
  CHECK_INT(LM_LINES, s.localizationModes[3]);
  CHECK_INT(CICM_GENERAL, s.furtherModes.colorConversionModes[0]);
  CHECK_INT(GTM_ORIGINAL, s.furtherModes.grayscaleTransformationModes[0]);
  CHECK_INT(TACM_VERIFYING, s.furtherModes.textAssistedCorrectionMode);
  CHECK_INT(BICM_DARK_ON_LIGHT, s.furtherModes.barcodeColorModes[0]);
  CHECK_INT(9, s.deblurLevel);
  CHECK_INT(IRSM_MEMORY, s.intermediateResultSavingMode);
  CHECK_INT(RCT_PIXEL, s.resultCoordinateType);
  CHECK_INT(TROM_FORMAT, s.textResultOrderModes[2]);
  CHECK_INT(30, s.minResultConfidence);
  CHECK_INT(SUM_AUTO, s.scaleUpModes[0]);
  CHECK_INT(PDFRM_AUTO, s.pdfReadingMode);
  for (i = 0; i < 36; i++) CHECK_INT(0, s.reserved[i]);
}

static void filters(void *reader) {
  PublicRuntimeSettings s = settings_of(reader);
  const PublicRuntimeSettings first = s;
  CHECK_INT(4, found(reader, "", DBR_OK));
  s.barcodeFormatIds = BF_QR_CODE | BF_EAN_13;
  update(reader, &s);
  CHECK_INT(2, found(reader, "", DBR_OK));
  s.barcodeFormatIds = BF_PATCHCODE;
  update(reader, &s);
  CHECK_INT(0, found(reader, "", DBRERR_BARCODE_FORMAT_INVALID));
  s.barcodeFormatIds_2 = BF2_POSTALCODE | BF2_NONSTANDARD_BARCODE;
  update(reader, &s);
  CHECK_INT(0, found(reader, "", DBR_OK));
  s = first;
  s.minBarcodeTextLength = 14;
  update(reader, &s);
  CHECK_INT(2, found(reader, "", DBR_OK));
  s = first;
  s.expectedBarcodesCount = 1;
  update(reader, &s);
  CHECK_INT(1, found(reader, "", DBR_OK));
  s = first;
  s.region.regionRight = 50;
  s.region.regionBottom = 100;
  s.region.regionMeasuredByPercentage = 1;
  update(reader, &s);
  CHECK_INT(2, found(reader, "", DBR_OK));
  s.region.regionBottom = 50;
  update(reader, &s);
  CHECK_INT(1, found(reader, "", DBR_OK));
  s.region.regionMeasuredByPercentage = 0;
  s.region.regionLeft = s.region.regionTop = 20000;
  s.region.regionRight = s.region.regionBottom = 20001;
  update(reader, &s);
  CHECK_INT(0, found(reader, "", DBRERR_CUSTOM_REGION_INVALID));
  s = first;
  s.barcodeZoneMinDistanceToImageBorders = 2000;
  update(reader, &s);
  CHECK_INT(0, found(reader, "", DBR_OK));
  s = first;
  s.terminatePhase = TP_BARCODE_LOCALIZED;
  update(reader, &s);
  CHECK_INT(0, found(reader, "", DBR_OK));
  s = first;
  s.deblurLevel = 0;
  update(reader, &s);
  CHECK(found(reader, "", DBR_OK) >= 3);
  s = first;
  s.timeout = 1;
  update(reader, &s);
  CHECK(found(reader, "", DBRERR_RECOGNITION_TIMEOUT) <= 4);
  CHECK_INT(DBR_OK, DBR_ResetRuntimeSettings(reader));
  s = settings_of(reader);
  CHECK_INT(0, memcmp(&s, &first, sizeof s));
}

static void percent(void *reader) {
  PublicRuntimeSettings s = settings_of(reader);
  TextResultArray *results;
  int i;
  s.resultCoordinateType = RCT_PERCENTAGE;
  update(reader, &s);
  CHECK_INT(DBR_OK, DBR_DecodeFile(reader, picture, ""));
  CHECK_INT(DBR_OK, DBR_GetAllTextResults(reader, &results));
  CHECK_INT(4, results->resultsCount);
  for (i = 0; i < 4; i++) {
    const LocalizationResult *place = results->results[i]->localizationResult;
    CHECK_INT(RCT_PERCENTAGE, place->resultCoordinateType);
    CHECK(place->x1 >= 0 && place->x1 <= 100 && place->x3 > place->x1 && place->y3 > place->y1 && place->y3 <= 100);
  }
  DBR_FreeTextResults(&results);
  CHECK_INT(DBR_OK, DBR_ResetRuntimeSettings(reader));
}

static void values_that_cannot_be(void *reader) {
  PublicRuntimeSettings s = settings_of(reader), after;
  const PublicRuntimeSettings first = s;
  s.minResultConfidence = 101;
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, DBR_UpdateRuntimeSettings(reader, &s, message, sizeof message));
  CHECK_CONTAINS(message, "MinResultConfidence");
  s = first;
  s.region.regionLeft = 50;
  s.region.regionRight = 40;
  s.region.regionBottom = 10;
  CHECK_INT(DBRERR_CUSTOM_REGION_INVALID, DBR_UpdateRuntimeSettings(reader, &s, NULL, 0));
  after = settings_of(reader);
  CHECK_INT(0, memcmp(&after, &first, sizeof first));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_UpdateRuntimeSettings(reader, NULL, message, sizeof message));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_GetRuntimeSettings(reader, NULL));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_GetRuntimeSettings(NULL, &s));
}

static void templates(void *reader) {
  static const char text[] =
      "{\"Version\":\"3.0\",\"ImageParameterContentArray\":[{\"Name\":\"Squares\",\"BarcodeFormatIds\":"
      "[\"BF_QR_CODE\",\"BF_DATAMATRIX\"]},{\"Name\":\"One\",\"ExpectedBarcodesCount\":1,\"Unknown\":[1,2]}]}";
  char name[16], *content = NULL;
  FILE *file;
  CHECK_INT(0, DBR_GetParameterTemplateCount(reader));
  CHECK_INT(DBR_OK, DBR_AppendTplStringToRuntimeSettings(reader, text, CM_IGNORE, message, sizeof message));
  CHECK_INT(2, DBR_GetParameterTemplateCount(reader));
  CHECK_INT(DBR_OK, DBR_GetParameterTemplateName(reader, 1, name, sizeof name));
  CHECK_INT(0, strcmp("One", name));
  CHECK_INT(DBRERR_INDEX_INVALID, DBR_GetParameterTemplateName(reader, 2, name, sizeof name));
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, DBR_GetParameterTemplateName(reader, 0, name, 3));
  CHECK_INT(2, found(reader, "Squares", DBR_OK));
  CHECK_INT(1, found(reader, "One", DBR_OK));
  CHECK_INT(0, found(reader, "No such template", DBRERR_TEMPLATE_NAME_INVALID));
  CHECK_INT(1, settings_of(reader).expectedBarcodesCount);

  CHECK_INT(DBR_OK, DBR_OutputSettingsToStringPtr(reader, &content, "Mine"));
  CHECK_CONTAINS(content, "\"Name\":\"Mine\"");
  CHECK_CONTAINS(content, "\"Unknown\":[1,2]");
  CHECK_INT(DBR_OK, DBR_InitRuntimeSettingsWithString(reader, content, CM_OVERWRITE, NULL, 0));
  CHECK_INT(1, DBR_GetParameterTemplateCount(reader));
  DBR_FreeSettingsString(&content);
  CHECK(content == NULL);
  DBR_FreeSettingsString(&content);
  DBR_FreeSettingsString(NULL);

  content = (char *)malloc(65536);
  CHECK_INT(DBR_OK, DBR_OutputSettingsToString(reader, content, 65536, ""));
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID, DBR_OutputSettingsToString(reader, content, 10, ""));
  free(content);
  CHECK_INT(DBR_OK, DBR_OutputSettingsToFile(reader, "settings.json", "Filed"));
  CHECK_INT(DBR_OK, DBR_InitRuntimeSettingsWithFile(reader, "settings.json", CM_OVERWRITE, NULL, 0));
  CHECK_INT(DBR_OK, DBR_GetParameterTemplateName(reader, 0, name, sizeof name));
  CHECK_INT(0, strcmp("Filed", name));
  CHECK_INT(DBR_OK, DBR_AppendTplFileToRuntimeSettings(reader, "settings.json", CM_IGNORE, NULL, 0));
  CHECK_INT(DBRERR_FILE_NOT_FOUND, DBR_InitRuntimeSettingsWithFile(reader, "no.json", CM_IGNORE, NULL, 0));
  file = fopen("bad.json", "w");
  CHECK(file && fputs("{ no JSON", file) > 0);
  fclose(file);
  CHECK_INT(DBRERR_JSON_PARSE_FAILED,
            DBR_AppendTplFileToRuntimeSettings(reader, "bad.json", CM_IGNORE, message, sizeof message));
  CHECK(strlen(message) > 0);
  CHECK_INT(DBRERR_PARAMETER_VALUE_INVALID,
            DBR_InitRuntimeSettingsWithString(reader, text, (ConflictMode)3, NULL, 0));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_InitRuntimeSettingsWithString(reader, NULL, CM_IGNORE, NULL, 0));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_OutputSettingsToStringPtr(reader, NULL, ""));
  CHECK_INT(-1, DBR_GetParameterTemplateCount(NULL));
  CHECK_INT(DBR_OK, DBR_ResetRuntimeSettings(reader));
  CHECK_INT(0, DBR_GetParameterTemplateCount(reader));
}

static void arguments(void *reader) {
  char value[32];
  CHECK_INT(DBR_OK, DBR_SetModeArgument(reader, "BinarizationModes", 0, "BlockSizeX", "17", message, sizeof message));
  CHECK_INT(DBR_OK, DBR_GetModeArgument(reader, "BinarizationModes", 0, "BlockSizeX", value, sizeof value, NULL, 0));
  CHECK_INT(0, strcmp("17", value));
  CHECK_INT(DBRERR_SET_MODE_ARGUMENT_ERROR,
            DBR_SetModeArgument(reader, "BinarizationModes", 1, "BlockSizeX", "17", message, sizeof message));
  CHECK_CONTAINS(message, "skipped");
  CHECK_INT(DBRERR_GET_MODE_ARGUMENT_ERROR,
            DBR_GetModeArgument(reader, "BinarizationModes", 0, "No", value, sizeof value, NULL, 0));
  CHECK_INT(DBRERR_GET_MODE_ARGUMENT_ERROR,
            DBR_GetModeArgument(reader, "BinarizationModes", 0, "BlockSizeX", value, 2, NULL, 0));
  CHECK_INT(DBRERR_NULL_POINTER, DBR_SetModeArgument(reader, NULL, 0, "A", "1", NULL, 0));
}

static void what_is_not_there_says_so(void *reader) {
  IntermediateResultArray *steps = NULL;
  IntermediateResult step;
  PublicRuntimeSettings s = settings_of(reader);
  char other = 'x', *content = &other, buffer[8] = "filled";
  CHECK_INT(DBR_OK, DBR_GetIntermediateResults(reader, &steps));
  CHECK(steps != NULL && steps->resultsCount == 0);
  DBR_FreeIntermediateResults(&steps);
  CHECK(steps == NULL);
  s.intermediateResultTypes = IRT_ORIGINAL_IMAGE | IRT_CONTOUR;
  update(reader, &s);
  CHECK_INT(IRT_ORIGINAL_IMAGE | IRT_CONTOUR, settings_of(reader).intermediateResultTypes);
  CHECK_INT(DBRERR_IRT_LICENSE_INVALID, DBR_GetIntermediateResults(reader, &steps));
  CHECK(steps == NULL);
  DBR_FreeIntermediateResults(&steps);
  DBR_FreeIntermediateResults(NULL);
  CHECK_INT(DBRERR_IRT_LICENSE_INVALID, DBR_DecodeIntermediateResults(reader, NULL, ""));
  CHECK_INT(DBRERR_IRT_LICENSE_INVALID, DBR_SetIntermediateResultCallback(reader, NULL, NULL));
  CHECK_INT(DBR_OK, DBR_InitIntermediateResult(IRT_CONTOUR, &step));
  CHECK_INT(IMRDT_CONTOUR, step.dataType);
  CHECK_INT(DMERR_LICENSE_INTERFACE_CONFLICT, DBR_OutputLicenseToStringPtr(reader, &content));
  CHECK(content == NULL);
  DBR_FreeLicenseString(&content);
  CHECK_INT(DMERR_LICENSE_INTERFACE_CONFLICT, DBR_OutputLicenseToString(reader, buffer, sizeof buffer));
  CHECK_INT(0, strlen(buffer));
  CHECK_INT(DMERR_LICENSE_INTERFACE_CONFLICT, DBR_InitLicenseFromLicenseContent(reader, "key", "content"));
}

static void the_rest(void *reader) {
  double matrix[9] = {2, 0, 1, 0, 3, -1, 0, 0, 1};
  DBRPoint point = {10, 20};
  InstancePoolStatus status = DBR_GetInstancePoolStatus();
  char *uuid = NULL, *again = NULL;
  point = DBR_TransformCoordinates(point, matrix);
  CHECK_INT(21, point.x);
  CHECK_INT(59, point.y);
  CHECK_INT(4, status.authorizedInstancesCount);
  CHECK_INT(3, status.remainingInstancesCount);
  CHECK_INT(0, status.waitingCreationInstances);
  CHECK_INT(1, DBR_IsInstanceValid(reader));
  CHECK_INT(0, DBR_IsInstanceValid(NULL));
  CHECK_INT(DBR_OK, DBR_GetDeviceUUID(DM_UUIDGM_RANDOM, &uuid));
  CHECK_INT(DBR_OK, DBR_GetDeviceUUID(DM_UUIDGM_HARDWARE, &again));
  CHECK_INT(32, strlen(uuid));
  CHECK_INT(0, strcmp(uuid, again));
  DBR_FreeString(&uuid);
  DBR_FreeString(&again);
  CHECK(DBR_GetVersion() != NULL && DBR_GetVersion()[0] != '\0');
  CHECK(strlen(DBR_GetErrorString(-123456)) > 0);
  CHECK_CONTAINS(DBR_GetErrorString(DBRERR_TEMPLATE_NAME_INVALID), "template");
  CHECK_CONTAINS(DBR_GetErrorString(DMERR_NO_LICENSE), "InitLicenseFromDLS");
}

int main(int argc, char **argv) {
  void *reader;
  CHECK_INT(2, argc);
  snprintf(picture, sizeof picture, "%s/four.png", argv[1]);
  dbr_license();
  reader = DBR_CreateInstance();
  defaults(reader);
  filters(reader);
  percent(reader);
  values_that_cannot_be(reader);
  templates(reader);
  arguments(reader);
  what_is_not_there_says_so(reader);
  the_rest(reader);
  DBR_DestroyInstance(reader);
  return 0;
}
