/*
 * Barcode reading for programs written for the DBR 8.x C and C++ API, implemented by libseatmeter.
 *
 * What is declared here works. The class at the end is thin inline code over the C functions, so that the
 * library's binary interface is C alone.
 */
#ifndef SEATMETER_DYNAMSOFT_BARCODE_READER_H
#define SEATMETER_DYNAMSOFT_BARCODE_READER_H

#include "DynamsoftCommon.h"

#include <stddef.h>

/** Success. */
#define DBR_OK 0

/* Errors of reading. DBR_GetErrorString says what each means and what to do. */
#define DBRERR_FILE_NOT_FOUND -10005
#define DBRERR_FILETYPE_NOT_SUPPORTED -10006
#define DBRERR_DIB_BUFFER_INVALID -10018
#define DBRERR_RECOGNITION_TIMEOUT -10026
#define DBRERR_UNKNOWN -10000
#define DBRERR_NO_MEMORY -10001
#define DBRERR_NULL_POINTER -10002
#define DBRERR_LICENSE_INVALID -10003
#define DBRERR_LICENSE_EXPIRED -10004
#define DBRERR_BPP_NOT_SUPPORTED -10007
#define DBRERR_INDEX_INVALID -10008
#define DBRERR_BARCODE_FORMAT_INVALID -10009
#define DBRERR_CUSTOM_REGION_INVALID -10010
#define DBRERR_MAX_BARCODE_NUMBER_INVALID -10011
#define DBRERR_IMAGE_READ_FAILED -10012
#define DBRERR_TIFF_READ_FAILED -10013
#define DBRERR_QR_LICENSE_INVALID -10016
#define DBRERR_1D_LICENSE_INVALID -10017
#define DBRERR_PDF417_LICENSE_INVALID -10019
#define DBRERR_DATAMATRIX_LICENSE_INVALID -10020
#define DBRERR_PDF_READ_FAILED -10021
#define DBRERR_PDF_DLL_MISSING -10022
#define DBRERR_PAGE_NUMBER_INVALID -10023
#define DBRERR_CUSTOM_SIZE_INVALID -10024
#define DBRERR_CUSTOM_MODULESIZE_INVALID -10025
#define DBRERR_JSON_PARSE_FAILED -10030
#define DBRERR_JSON_TYPE_INVALID -10031
#define DBRERR_JSON_KEY_INVALID -10032
#define DBRERR_JSON_VALUE_INVALID -10033
#define DBRERR_JSON_NAME_KEY_MISSING -10034
#define DBRERR_JSON_NAME_VALUE_DUPLICATED -10035
#define DBRERR_TEMPLATE_NAME_INVALID -10036
#define DBRERR_JSON_NAME_REFERENCE_INVALID -10037
#define DBRERR_PARAMETER_VALUE_INVALID -10038
#define DBRERR_DOMAIN_NOT_MATCHED -10039
#define DBRERR_RESERVEDINFO_NOT_MATCHED -10040
#define DBRERR_AZTEC_LICENSE_INVALID -10041
#define DBRERR_LICENSE_DLL_MISSING -10042
#define DBRERR_LICENSEKEY_NOT_MATCHED -10043
#define DBRERR_REQUESTED_FAILED -10044
#define DBRERR_LICENSE_INIT_FAILED -10045
#define DBRERR_PATCHCODE_LICENSE_INVALID -10046
#define DBRERR_POSTALCODE_LICENSE_INVALID -10047
#define DBRERR_DPM_LICENSE_INVALID -10048
#define DBRERR_FRAME_DECODING_THREAD_EXISTS -10049
#define DBRERR_STOP_DECODING_THREAD_FAILED -10050
#define DBRERR_SET_MODE_ARGUMENT_ERROR -10051
#define DBRERR_LICENSE_CONTENT_INVALID -10052
#define DBRERR_LICENSE_KEY_INVALID -10053
#define DBRERR_LICENSE_DEVICE_RUNS_OUT -10054
#define DBRERR_GET_MODE_ARGUMENT_ERROR -10055
#define DBRERR_IRT_LICENSE_INVALID -10056
#define DBRERR_MAXICODE_LICENSE_INVALID -10057
#define DBRERR_GS1_DATABAR_LICENSE_INVALID -10058
#define DBRERR_GS1_COMPOSITE_LICENSE_INVALID -10059
#define DBRERR_PANORAMA_LICENSE_INVALID -10060
#define DBRERR_DOTCODE_LICENSE_INVALID -10061

/** Symbologies of the first format word, to be combined as bits. */
typedef enum BarcodeFormat {
  BF_ALL = -31457281,
  BF_ONED = 0x001007FF,
  BF_GS1_DATABAR = 0x0003F800,
  BF_CODE_39 = 0x1,
  BF_CODE_128 = 0x2,
  BF_CODE_93 = 0x4,
  BF_CODABAR = 0x8,
  BF_ITF = 0x10,
  BF_EAN_13 = 0x20,
  BF_EAN_8 = 0x40,
  BF_UPC_A = 0x80,
  BF_UPC_E = 0x100,
  BF_INDUSTRIAL_25 = 0x200,
  BF_CODE_39_EXTENDED = 0x400,
  BF_GS1_DATABAR_OMNIDIRECTIONAL = 0x800,
  BF_GS1_DATABAR_TRUNCATED = 0x1000,
  BF_GS1_DATABAR_STACKED = 0x2000,
  BF_GS1_DATABAR_STACKED_OMNIDIRECTIONAL = 0x4000,
  BF_GS1_DATABAR_EXPANDED = 0x8000,
  BF_GS1_DATABAR_EXPANDED_STACKED = 0x10000,
  BF_GS1_DATABAR_LIMITED = 0x20000,
  BF_PATCHCODE = 0x00040000,
  BF_PDF417 = 0x02000000,
  BF_QR_CODE = 0x04000000,
  BF_DATAMATRIX = 0x08000000,
  BF_AZTEC = 0x10000000,
  BF_MAXICODE = 0x20000000,
  BF_MICRO_QR = 0x40000000,
  BF_MICRO_PDF417 = 0x00080000,
  BF_GS1_COMPOSITE = -2147483647 - 1,
  BF_MSI_CODE = 0x100000,
  BF_NULL = 0x00
} BarcodeFormat;

/** Symbologies of the second format word, to be combined as bits. */
typedef enum BarcodeFormat_2 {
  BF2_NULL = 0x00,
  BF2_POSTALCODE = 0x01F00000,
  BF2_NONSTANDARD_BARCODE = 0x01,
  BF2_USPSINTELLIGENTMAIL = 0x00100000,
  BF2_POSTNET = 0x00200000,
  BF2_PLANET = 0x00400000,
  BF2_AUSTRALIANPOST = 0x00800000,
  BF2_RM4SCC = 0x01000000,
  BF2_DOTCODE = 0x02
} BarcodeFormat_2;

/** How far reading came. */
typedef enum TerminatePhase {
  TP_REGION_PREDETECTED = 0x00000001,
  TP_IMAGE_PREPROCESSED = 0x00000002,
  TP_IMAGE_BINARIZED = 0x00000004,
  TP_BARCODE_LOCALIZED = 0x00000008,
  TP_BARCODE_TYPE_DETERMINED = 0x00000010,
  TP_BARCODE_RECOGNIZED = 0x00000020
} TerminatePhase;

/** Units of coordinates. */
typedef enum ResultCoordinateType {
  RCT_PIXEL = 0x01,
  RCT_PERCENTAGE = 0x02
} ResultCoordinateType;

#pragma pack(push, 1)

/** Where a barcode is in its picture. */
typedef struct tagLocalizationResult {
  TerminatePhase terminatePhase;
  BarcodeFormat barcodeFormat;
  const char *barcodeFormatString;
  BarcodeFormat_2 barcodeFormat_2;
  const char *barcodeFormatString_2;
  /** Corners, clockwise from the symbol's own top left. */
  int x1, y1, x2, y2, x3, y3, x4, y4;
  /** How far the symbol is turned, 0 to 359 degrees. */
  int angle;
  /** Size of a module in pixels; 0 when it is not known. */
  int moduleSize;
  int pageNumber;
  const char *regionName;
  const char *documentName;
  ResultCoordinateType resultCoordinateType;
  const char *accompanyingTextBytes;
  int accompanyingTextBytesLength;
  int confidence;
  char reserved[52];
} LocalizationResult;

/** Further results of one barcode. */
typedef struct tagExtendedResult ExtendedResult;

/** One barcode. Text, strings and localizationResult are never NULL. */
typedef struct tagTextResult {
  BarcodeFormat barcodeFormat;
  const char *barcodeFormatString;
  BarcodeFormat_2 barcodeFormat_2;
  const char *barcodeFormatString_2;
  /** Content as text, UTF-8; masked with '*' when there was no licence or seat to read it under. */
  const char *barcodeText;
  unsigned char *barcodeBytes;
  int barcodeBytesLength;
  LocalizationResult *localizationResult;
  void *detailedResult;
  int resultsCount;
  ExtendedResult **results;
  /** Why the text is masked; NULL when it is not. */
  const char *exception;
  int isDPM;
  int isMirrored;
  char reserved[44];
} TextResult;

/** The barcodes of one decode call. */
typedef struct tagTextResultArray {
  int resultsCount;
  TextResult **results;
} TextResultArray;

#pragma pack(pop)

#ifdef __cplusplus
extern "C" {
#endif

/** What an error number means and what to do about it: a static string, never NULL. */
const char *DBR_GetErrorString(int errorCode);

/** The version of the library: a static string. */
const char *DBR_GetVersion(void);

/** Make a reader, and take a seat for it if there is one. Without a licence or seat its decode calls say why. */
void *DBR_CreateInstance(void);

/** Give the seat back and free the reader. NULL does nothing. Any thread. */
void DBR_DestroyInstance(void *barcodeReader);

/**
 * Get a reader from the instance pool, with its seat; give it back with DBR_RecycleInstance.
 *
 * Threads: any. Blocks: as long as DBR_SetMaxConcurrentInstanceCount says; not at all unless it was called.
 * Returns NULL when no instance or seat became free in that time, or without a licence.
 */
void *DBR_GetInstance(void);

/** Give a reader back to the instance pool. NULL does nothing. Any thread. */
void DBR_RecycleInstance(void *barcodeReader);

/**
 * Set up the instance pool.
 *
 * countForThisDevice: seats to ask for at the next DBR_InitLicenseFromDLS, if that is more than
 * maxConcurrentInstanceCount; 0 to 65536. countForThisProcess: instances that this process has at one time; 0 for
 * no limit of its own. timeOut: milliseconds for which DBR_GetInstance waits, 0 to 600000. Returns 0, or -10038
 * when one is out of range; then none is changed.
 */
int DBR_SetMaxConcurrentInstanceCount(int countForThisDevice, int countForThisProcess, int timeOut);

/** Set every field to its default. Returns 0, or -10002 for NULL. */
int DBR_InitDLSConnectionParameters(DM_DLSConnectionParameters *pDLSConnectionParameters);

/** Get this process licensed: InitLicenseFromDLS of seatmeter.h. */
int DBR_InitLicenseFromDLS(DM_DLSConnectionParameters *pDLSConnectionParameters, char errorMsgBuffer[],
                           const int errorMsgBufferLen);

/** Free seats of this device: GetIdleInstancesCount of seatmeter.h. */
int DBR_GetIdleInstancesCount(void);

/**
 * Decode a PNG or JPEG file, and count its different barcodes against the licence.
 *
 * Threads: any; one at a time for one reader. Blocks: as long as decoding takes. Returns 0, also when there
 * is no barcode; the licence's error, then texts are masked; -10002 NULL; -10005 no such file; -10006
 * another kind of file; -10012 a damaged or too large picture.
 */
int DBR_DecodeFile(void *barcodeReader, const char *pFileName, const char *pTemplateName);

/** Get the results of the last decode call, to be freed with DBR_FreeTextResults: never a NULL array. */
int DBR_GetAllTextResults(void *barcodeReader, TextResultArray **pResults);

/** Free results, and set the pointer to NULL. NULL does nothing. */
void DBR_FreeTextResults(TextResultArray **pResults);

#ifdef __cplusplus
}

namespace dynamsoft {
namespace dbr {

/** A barcode reader. Under a licence by concurrent instances it holds a seat while it exists. */
class CBarcodeReader {
 public:
  CBarcodeReader() : m_reader(DBR_CreateInstance()) {}
  ~CBarcodeReader() { DBR_DestroyInstance(m_reader); }

  static const char *GetErrorString(const int errorCode) { return DBR_GetErrorString(errorCode); }
  static const char *GetVersion() { return DBR_GetVersion(); }

  static int InitDLSConnectionParameters(DM_DLSConnectionParameters *pDLSConnectionParameters) {
    return DBR_InitDLSConnectionParameters(pDLSConnectionParameters);
  }

  static int InitLicenseFromDLS(DM_DLSConnectionParameters *pDLSConnectionParameters,
                                char errorMsgBuffer[] = NULL, const int errorMsgBufferLen = 0) {
    return DBR_InitLicenseFromDLS(pDLSConnectionParameters, errorMsgBuffer, errorMsgBufferLen);
  }

  static int GetIdleInstancesCount() { return DBR_GetIdleInstancesCount(); }

  int DecodeFile(const char *pFileName, const char *pTemplateName = "") {
    return DBR_DecodeFile(m_reader, pFileName, pTemplateName);
  }

  int GetAllTextResults(TextResultArray **pResults) { return DBR_GetAllTextResults(m_reader, pResults); }

  static void FreeTextResults(TextResultArray **pResults) { DBR_FreeTextResults(pResults); }

 private:
  CBarcodeReader(const CBarcodeReader &);
  CBarcodeReader &operator=(const CBarcodeReader &);

  void *m_reader;
};

}  // namespace dbr
}  // namespace dynamsoft
#endif

#endif
