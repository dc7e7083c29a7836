/* Every function of the DBR API with its type. A declaration that differs does not compile, and a function that is not
 * exported does not link. tests/dbr/names.rs reads the names from here. */
#include "DynamsoftBarcodeReader.h"

#define HAS(result, name, arguments)    \
  {                                     \
    result(*function) arguments = name; \
    if (function == NULL) return 1;     \
  }

int main(void) {
  HAS(const char *, DBR_GetErrorString, (int))
  HAS(const char *, DBR_GetVersion, (void))
  HAS(void *, DBR_CreateInstance, (void))
  HAS(void, DBR_DestroyInstance, (void *))
  HAS(int, DBR_InitLTSConnectionParameters, (DM_LTSConnectionParameters *))
  HAS(int, DBR_InitDLSConnectionParameters, (DM_DLSConnectionParameters *))
  HAS(int, DBR_GetIdleInstancesCount, (void))
  HAS(int, DBR_InitLicenseFromLTS, (DM_LTSConnectionParameters *, char *, const int))
  HAS(int, DBR_InitLicenseFromDLS, (DM_DLSConnectionParameters *, char *, const int))
  HAS(int, DBR_InitIntermediateResult, (IntermediateResultType, IntermediateResult *))
  HAS(int, DBR_InitLicense, (void *, const char *))
  HAS(int, DBR_InitLicenseFromServer, (void *, const char *, const char *))
  HAS(int, DBR_InitLicenseFromLicenseContent, (void *, const char *, const char *))
  HAS(int, DBR_OutputLicenseToString, (void *, char *, int))
  HAS(int, DBR_OutputLicenseToStringPtr, (void *, char **))
  HAS(void, DBR_FreeLicenseString, (char **))
  HAS(int, DBR_DecodeFile, (void *, const char *, const char *))
  HAS(int, DBR_DecodeFileInMemory, (void *, const unsigned char *, const int, const char *))
  HAS(int, DBR_DecodeBuffer,
      (void *, const unsigned char *, const int, const int, const int, const ImagePixelFormat, const char *))
  HAS(int, DBR_DecodeBase64String, (void *, const char *, const char *))
  HAS(int, DBR_DecodeDIB, (void *, const HANDLE, const char *))
  HAS(int, DBR_DecodeIntermediateResults, (void *, const IntermediateResultArray *, const char *))
  HAS(int, DBR_InitFrameDecodingParameters, (void *, FrameDecodingParameters *))
  HAS(int, DBR_StartFrameDecoding,
      (void *, const int, const int, const int, const int, const int, const ImagePixelFormat, const char *))
  HAS(int, DBR_StartFrameDecodingEx, (void *, FrameDecodingParameters, const char *))
  HAS(int, DBR_AppendFrame, (void *, unsigned char *))
  HAS(int, DBR_GetLengthOfFrameQueue, (void *))
  HAS(int, DBR_StopFrameDecoding, (void *))
  HAS(int, DBR_SetModeArgument,
      (void *, const char *, const int, const char *, const char *, char *, const int))
  HAS(int, DBR_GetModeArgument,
      (void *, const char *, const int, const char *, char *, const int, char *, const int))
  HAS(int, DBR_GetRuntimeSettings, (void *, PublicRuntimeSettings *))
  HAS(int, DBR_UpdateRuntimeSettings, (void *, PublicRuntimeSettings *, char *, const int))
  HAS(int, DBR_ResetRuntimeSettings, (void *))
  HAS(int, DBR_InitRuntimeSettingsWithFile, (void *, const char *, const ConflictMode, char *, const int))
  HAS(int, DBR_InitRuntimeSettingsWithString, (void *, const char *, const ConflictMode, char *, const int))
  HAS(int, DBR_AppendTplFileToRuntimeSettings, (void *, const char *, const ConflictMode, char *, const int))
  HAS(int, DBR_AppendTplStringToRuntimeSettings,
      (void *, const char *, const ConflictMode, char *, const int))
  HAS(int, DBR_GetParameterTemplateCount, (void *))
  HAS(int, DBR_GetParameterTemplateName, (void *, const int, char *, const int))
  HAS(int, DBR_OutputSettingsToString, (void *, char *, const int, const char *))
  HAS(int, DBR_OutputSettingsToStringPtr, (void *, char **, const char *))
  HAS(void, DBR_FreeSettingsString, (char **))
  HAS(int, DBR_OutputSettingsToFile, (void *, const char *, const char *))
  HAS(int, DBR_GetAllTextResults, (void *, TextResultArray **))
  HAS(void, DBR_FreeTextResults, (TextResultArray **))
  HAS(int, DBR_GetIntermediateResults, (void *, IntermediateResultArray **))
  HAS(void, DBR_FreeIntermediateResults, (IntermediateResultArray **))
  HAS(int, DBR_SetErrorCallback, (void *, CB_Error, void *))
  HAS(int, DBR_SetTextResultCallback, (void *, CB_TextResult, void *))
  HAS(int, DBR_SetIntermediateResultCallback, (void *, CB_IntermediateResult, void *))
  HAS(int, DBR_DecodeImageData, (void *, const ImageData *, const char *))
  HAS(void, DBR_FreeString, (char **))
  HAS(int, DBR_GetDeviceUUID, (int, char **))
  HAS(void *, DBR_GetInstance, (void))
  HAS(InstancePoolStatus, DBR_GetInstancePoolStatus, (void))
  HAS(int, DBR_IsInstanceValid, (void *))
  HAS(void, DBR_RecycleInstance, (void *))
  HAS(int, DBR_SetDeviceFriendlyName, (const char *))
  HAS(int, DBR_SetLicenseCachePath, (const char *))
  HAS(int, DBR_SetMaxConcurrentInstanceCount, (int, int, int))
  HAS(int, DBR_SetUniqueBarcodeCallback, (void *, CB_TextResult, void *))
  HAS(DBRPoint, DBR_TransformCoordinates, (DBRPoint, double *))
  return 0;
}
