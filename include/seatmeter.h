/*
 * seatmeter: seats, scans, pages and devices, counted without loss.
 *
 * Conventions, from which the whole header can be guessed:
 *   - A function that returns int returns 0 for success and a negative number otherwise; SM_GetErrorString
 *     says what it means, and most functions give a more exact sentence into a buffer of the caller's.
 *   - Strings and arrays are copied before a call returns, and never written. NULL is checked.
 *   - On an error nothing is given: a pointer that a function sets is NULL, a number is 0, a text is "" (a
 *     message says what happened), and a structure is as it was.
 *   - "Threads: any" means that any number of threads may call it at one time.
 *   - Nothing here ends, prints, handles signals, or starts a thread before InitLicenseFromDLS.
 */

#ifndef SEATMETER_H
#define SEATMETER_H

/* Made from src/capi by cbindgen: change the source, then run UPDATE_HEADER=1 cargo test --test c_api header. */

#include <stddef.h>
#include <stdint.h>
#if defined(__GNUC__)
#define SM_PACKED __attribute__((packed))
#else
#error "seatmeter needs a compiler with GNU attributes: GCC or Clang"
#endif

/** Success. */
#define DBR_OK 0
/** An internal error in the library. Please report it, with the library's version and its log (SEATMETER_LOG). */
#define SM_ERR_UNKNOWN (-10000)
/** Not enough memory for this image or result. */
#define SM_ERR_NO_MEMORY (-10001)
/** A required pointer is NULL. */
#define SM_ERR_NULL_POINTER (-10002)
/** The license cannot be used. Get this process licensed again: the call then says what is wrong with the license. */
#define SM_ERR_LICENSE_INVALID (-10003)
/** The license has expired. Ask your vendor to renew it. */
#define SM_ERR_LICENSE_EXPIRED (-10004)
/** The file does not exist, or may not be read. Check path and permissions. */
#define SM_ERR_FILE_NOT_FOUND (-10005)
/** The file is not in an image format that this library reads. */
#define SM_ERR_FILETYPE_NOT_SUPPORTED (-10006)
/** Bitmaps with this number of bits a pixel are not supported. Use 1, 4, 8, 16, 24 or 32. */
#define SM_ERR_BPP_NOT_SUPPORTED (-10007)
/** No entry has this index. */
#define SM_ERR_INDEX_INVALID (-10008)
/** None of the chosen barcode formats can be read by this library. Choose another one as well. */
#define SM_ERR_BARCODE_FORMAT_INVALID (-10009)
/** The region is empty, or lies outside of the picture. */
#define SM_ERR_CUSTOM_REGION_INVALID (-10010)
/** The number of expected barcodes must not be negative. */
#define SM_ERR_MAX_BARCODE_NUMBER_INVALID (-10011)
/** The image is damaged, empty or too large to be read. */
#define SM_ERR_IMAGE_READ_FAILED (-10012)
/** The TIFF file is damaged, or uses a part of TIFF that this library does not read. */
#define SM_ERR_TIFF_READ_FAILED (-10013)
/** The license does not cover QR codes. */
#define SM_ERR_QR_LICENSE_INVALID (-10016)
/** The license does not cover linear barcodes. */
#define SM_ERR_ONE_D_LICENSE_INVALID (-10017)
/** The bitmap's header has invalid values. */
#define SM_ERR_DIB_BUFFER_INVALID (-10018)
/** The license does not cover PDF417. */
#define SM_ERR_PDF417_LICENSE_INVALID (-10019)
/** The license does not cover Data Matrix. */
#define SM_ERR_DATAMATRIX_LICENSE_INVALID (-10020)
/** The PDF file cannot be read. */
#define SM_ERR_PDF_READ_FAILED (-10021)
/** PDF files are not read. Turn the pages into pictures with 'pdftoppm -r 300 -gray -png FILE.pdf PAGE', and decode these. */
#define SM_ERR_PDF_DLL_MISSING (-10022)
/** The file has no page with this number. */
#define SM_ERR_PAGE_NUMBER_INVALID (-10023)
/** The size is out of its range. */
#define SM_ERR_CUSTOM_SIZE_INVALID (-10024)
/** The size of a module is out of its range. */
#define SM_ERR_CUSTOM_MODULESIZE_INVALID (-10025)
/** The time was over before the whole picture was searched. The results found until then are returned. */
#define SM_ERR_RECOGNITION_TIMEOUT (-10026)
/** The settings are not valid JSON. Check commas, quotation marks and brackets. */
#define SM_ERR_JSON_PARSE_FAILED (-10030)
/** A value in the settings has the wrong JSON type, such as a text in the place of a number. */
#define SM_ERR_JSON_TYPE_INVALID (-10031)
/** The settings have no ImageParameter, or a key that is not allowed where it stands. */
#define SM_ERR_JSON_KEY_INVALID (-10032)
/** A value in the settings is out of its range. */
#define SM_ERR_JSON_VALUE_INVALID (-10033)
/** A part of the settings has no Name. */
#define SM_ERR_JSON_NAME_KEY_MISSING (-10034)
/** Two parts of the settings have the same Name. */
#define SM_ERR_JSON_NAME_VALUE_DUPLICATED (-10035)
/** There is no template with this name. Use an empty name for the current settings. */
#define SM_ERR_TEMPLATE_NAME_INVALID (-10036)
/** The settings refer to a part by a name that no part has. */
#define SM_ERR_JSON_NAME_REFERENCE_INVALID (-10037)
/** A parameter is outside its range. The header has the range of each parameter. */
#define SM_ERR_PARAMETER_VALUE_INVALID (-10038)
/** The license is not for this website. */
#define SM_ERR_DOMAIN_NOT_MATCHED (-10039)
/** The license is not for this application. */
#define SM_ERR_RESERVEDINFO_NOT_MATCHED (-10040)
/** The license does not cover Aztec. */
#define SM_ERR_AZTEC_LICENSE_INVALID (-10041)
/** A part of the licensing library is missing. Install it again. */
#define SM_ERR_LICENSE_DLL_MISSING (-10042)
/** The license key and the license do not belong together. */
#define SM_ERR_LICENSEKEY_NOT_MATCHED (-10043)
/** The license server cannot be reached. */
#define SM_ERR_REQUESTED_FAILED (-10044)
/** Getting the license failed. */
#define SM_ERR_LICENSE_INIT_FAILED (-10045)
/** The license does not cover patch codes. */
#define SM_ERR_PATCHCODE_LICENSE_INVALID (-10046)
/** The license does not cover postal codes. */
#define SM_ERR_POSTALCODE_LICENSE_INVALID (-10047)
/** The license does not cover codes that are marked directly on parts. */
#define SM_ERR_DPM_LICENSE_INVALID (-10048)
/** Frames are being decoded already. Stop the decoding first. */
#define SM_ERR_FRAME_DECODING_THREAD_EXISTS (-10049)
/** No frames are being decoded, so there is nothing to stop. */
#define SM_ERR_STOP_DECODING_THREAD_FAILED (-10050)
/** There is no such list of modes, or no mode at this index. */
#define SM_ERR_SET_MODE_ARGUMENT_ERROR (-10051)
/** The content is not a license. */
#define SM_ERR_LICENSE_CONTENT_INVALID (-10052)
/** The license key does not have the form of a key. Check that it was copied completely. */
#define SM_ERR_LICENSE_KEY_INVALID (-10053)
/** The license has no capacity for another device. */
#define SM_ERR_LICENSE_DEVICE_RUNS_OUT (-10054)
/** There is no such list of modes or no mode at this index, the argument was not set, or the buffer is too short. */
#define SM_ERR_GET_MODE_ARGUMENT_ERROR (-10055)
/** This library has no intermediate results. Do not request any. */
#define SM_ERR_INTERMEDIATE_RESULTS_MISSING (-10056)
/** The license does not cover MaxiCode. */
#define SM_ERR_MAXICODE_LICENSE_INVALID (-10057)
/** The license does not cover GS1 DataBar. */
#define SM_ERR_GS1_DATABAR_LICENSE_INVALID (-10058)
/** The license does not cover GS1 Composite. */
#define SM_ERR_GS1_COMPOSITE_LICENSE_INVALID (-10059)
/** The license does not cover panoramas. */
#define SM_ERR_PANORAMA_LICENSE_INVALID (-10060)
/** The license does not cover DotCode. */
#define SM_ERR_DOTCODE_LICENSE_INVALID (-10061)
/** The license does not cover Pharmacode. */
#define SM_ERR_PHARMACODE_LICENSE_INVALID (-10062)
/** The orientation of the image is not 0, 90, 180 or 270. Set ImageData.orientation to one of these. */
#define SM_ERR_IMAGE_ORIENTATION_INVALID (-10063)
/** There is no license yet. Call InitLicenseFromDLS first, and check what it returns. */
#define SM_ERR_NO_LICENSE (-20000)
/** The handshake code has invalid characters or an invalid length. Copy it again from the operator of the license server. */
#define SM_ERR_HANDSHAKE_CODE_INVALID (-20001)
/** The state directory cannot be read or written. Check its path, permissions and free space. */
#define SM_ERR_LICENSE_BUFFER_FAILED (-20002)
/** The license server's answer cannot be used or trusted, or the license was not renewed in time. Check the server's URL and the network, then call InitLicenseFromDLS again. */
#define SM_ERR_LICENSE_SYNC_FAILED (-20003)
/** The license belongs to another device, or another device has this one's UUID. Call InitLicenseFromDLS again while the license server can be reached: this device then gets a license or a UUID of its own. */
#define SM_ERR_DEVICE_NOT_MATCH (-20004)
/** The license server could not register this device. Try again, and ask the operator of the server to check its log. */
#define SM_ERR_BIND_DEVICE_FAILED (-20005)
/** Two ways of licensing are used in one process. Use only InitLicenseFromDLS. */
#define SM_ERR_LICENSE_INTERFACE_CONFLICT (-20006)
/** A part of the licensing library is missing. Install it again. */
#define SM_ERR_LICENSE_CLIENT_DLL_MISSING (-20007)
/** All seats of this license are in use, or more are requested than it has. Destroy a reader, wait for a seat, or request another number of seats. */
#define SM_ERR_INSTANCE_COUNT_OVER_LIMIT (-20008)
/** The function was called at the wrong time. Make settings before InitLicenseFromDLS, and do not replace a log callback from within it. */
#define SM_ERR_LICENSE_INIT_SEQUENCE_FAILED (-20009)
/** This is a trial license. Nothing is wrong; ask your vendor for a full one. */
#define SM_ERR_TRIAL_LICENSE (-20010)
/** The license server cannot be reached, and the license stored on this device is in use. The program continues to work; let it reach the server before the license ends. */
#define SM_ERR_LICENSE_CACHE_USED (-20012)
/** This license server is a standby while its main server is up, or is not ready. Ask again, and set mainServerURL to the main server. */
#define SM_ERR_STANDBY_NOT_READY (-20100)
/** The license server has no such handshake code. Check the code and the server's address. */
#define SM_ERR_HANDSHAKE_CODE_UNKNOWN (-20101)
/** The session password is missing or wrong. Set sessionPassword to the password of the handshake code. */
#define SM_ERR_SESSION_PASSWORD_WRONG (-20102)
/** The handshake code is not valid for this website. Set the website domain with SM_SetValidationField, or ask for a code that lists it. */
#define SM_ERR_DOMAIN_MISMATCH (-20103)
/** The handshake code has no license item that fits this request. Compare the program's request with the items of the code. */
#define SM_ERR_NO_ITEM_FITS (-20104)
/** The license does not cover this product. Ask your vendor for one that does. */
#define SM_ERR_PRODUCT_MISMATCH (-20106)
/** The license does not cover this version of the product. Ask your vendor for one that does, or use an older version. */
#define SM_ERR_VERSION_MISMATCH (-20107)
/** The license is not valid for this deploymentType. Set deploymentType to one that the license lists. */
#define SM_ERR_DEPLOYMENT_TYPE_MISMATCH (-20108)
/** The license does not cover this edition of the product. Ask your vendor for one that does. */
#define SM_ERR_EDITION_MISMATCH (-20109)
/** The license has expired. Ask your vendor to renew it. */
#define SM_ERR_EXPIRED (-20111)
/** The license is not in effect yet. Wait for its start, or check the clock of the license server. */
#define SM_ERR_NOT_YET_IN_EFFECT (-20112)
/** The license has been revoked. Ask your vendor. */
#define SM_ERR_REVOKED (-20113)
/** The handshake code was made for another application. Set the required fields with SM_SetValidationField, or ask for a code for this application. */
#define SM_ERR_VALIDATION_FIELD_MISMATCH (-20114)
/** The handshake code has no license item with this charge way. Set chargeWay to 0 to let the server choose. */
#define SM_ERR_CHARGE_WAY_MISMATCH (-20115)
/** The license is used up, with its grace. Ask your vendor for more. */
#define SM_ERR_USED_UP (-20120)
/** The organization is unknown, or has no default handshake code. Check organizationID, or set handshakeCode. */
#define SM_ERR_ORGANIZATION_UNKNOWN (-20121)
/** The handshake code belongs to another organization. Leave organizationID empty, or set the one of the code. */
#define SM_ERR_HANDSHAKE_CODE_OF_OTHER_ORGANIZATION (-20122)
/** Neither handshakeCode nor organizationID is set. Set one of them. */
#define SM_ERR_NO_HANDSHAKE_CODE (-20123)
/** A license item that this one depends on is missing. Ask the operator of the license server to import it. */
#define SM_ERR_REQUIRED_ITEM_MISSING (-20124)
/** The license has no capacity for another authorization now. Try again when a device has given its seats back, or ask your vendor for more. */
#define SM_ERR_QUOTA_EXCEEDED (-20130)
/** The license server does not speak the protocol version of this library. Update the older of the two. */
#define SM_ERR_PROTOCOL_MISMATCH (-20140)
/** Another installation uses this device's identity. Call InitLicenseFromDLS again: this installation then gets an identity of its own. */
#define SM_ERR_DEVICE_CLONED (-20151)
/** The license server cannot be reached. Check its URL, the network and the proxy, or run seatmeterd doctor. */
#define SM_ERR_FAILED_TO_REACH_SERVER (-20200)


/**
 * deploymentType: a machine that serves others.
 */
#define SM_DEPLOYMENT_SERVER 1

/**
 * deploymentType: a computer for its own user.
 */
#define SM_DEPLOYMENT_DESKTOP 2

/**
 * deploymentType: ARM Linux.
 */
#define SM_DEPLOYMENT_EMBEDDED 6

/**
 * deploymentType: built into somebody else's product.
 */
#define SM_DEPLOYMENT_OEM 7

/**
 * deploymentType: iOS or Android.
 */
#define SM_DEPLOYMENT_MOBILE 9

/**
 * deploymentType: a browser profile on one origin.
 */
#define SM_DEPLOYMENT_BROWSER 20

/**
 * chargeWay: the server chooses.
 */
#define SM_CHARGE_AUTO 0

/**
 * chargeWay: client devices within a window of 90 days, unless the license states another.
 */
#define SM_CHARGE_CLIENT_DEVICE 1

/**
 * chargeWay: different barcodes.
 */
#define SM_CHARGE_BARCODE_SCAN 2

/**
 * chargeWay: devices that work at the same time.
 */
#define SM_CHARGE_CONCURRENT_DEVICE 3

/**
 * chargeWay: unlimited use under named domains.
 */
#define SM_CHARGE_DOMAIN 6

/**
 * chargeWay: client devices within a window that the license states.
 */
#define SM_CHARGE_ACTIVE_DEVICE 8

/**
 * chargeWay: servers.
 */
#define SM_CHARGE_SERVER 9

/**
 * chargeWay: readers that exist at the same time.
 */
#define SM_CHARGE_CONCURRENT_INSTANCE 10

/**
 * chargeWay: pages.
 */
#define SM_CHARGE_PAGE 20

/**
 * UUIDGenerationMethod: at random.
 */
#define SM_UUID_RANDOM 1

/**
 * UUIDGenerationMethod: derived from the machine id.
 */
#define SM_UUID_HARDWARE 2

/**
 * Field of SM_SetValidationField: the website's domain.
 */
#define SM_VALIDATION_WEBSITE_DOMAIN 0

/**
 * Field of SM_SetValidationField: the application's id.
 */
#define SM_VALIDATION_APPLICATION_ID 1

/**
 * Pages acquired from a scanner or imported.
 */
#define SM_PAGE_CORE 1

/**
 * Frames captured from a camera.
 */
#define SM_PAGE_WEBCAM 2

/**
 * Pages rasterized from PDF.
 */
#define SM_PAGE_PDFR 3

/**
 * Pages recognized as text.
 */
#define SM_PAGE_OCR 4

/**
 * SM_Status.state: there is no license in use.
 */
#define SM_LICENSE_NONE 0

/**
 * SM_Status.state: the license is valid.
 */
#define SM_LICENSE_GOOD 1

/**
 * SM_Status.state: the license has expired, but works during the seven days of grace: warn the
 * user.
 */
#define SM_LICENSE_GRACE 2

/**
 * SM_Status.state: the license was not renewed in time, and is refused until a server is reached.
 */
#define SM_LICENSE_STALE 3

/**
 * SM_Status.state: the license and its grace have expired.
 */
#define SM_LICENSE_EXPIRED 4

/**
 * SM_Status.state: the server permits no work under the license: it was revoked, is used up, or
 * has no capacity for this device.
 */
#define SM_LICENSE_REFUSED 5

/**
 * SM_Status.usage: the server has not reported the use, or as a value that only later versions
 * know.
 */
#define SM_USAGE_UNKNOWN 0

/**
 * SM_Status.usage: below what was bought.
 */
#define SM_USAGE_WITHIN 1

/**
 * SM_Status.usage: everything that was bought is used, and the grace has begun: warn the user.
 */
#define SM_USAGE_IN_GRACE 2

/**
 * SM_Status.usage: used up with its grace. The server refuses scans, pages and new devices.
 */
#define SM_USAGE_USED_UP 3

/**
 * SM_Status.usage: the overuse budget of a concurrent license is exceeded: only N devices or
 * instances are authorized at the same time.
 */
#define SM_USAGE_OVERUSED 4

/**
 * Bytes of each text in a status, with its NUL; longer texts are cut.
 */
#define SM_STATUS_TEXT_BYTES 512

/**
 * A reader. Under a license by concurrent instances it holds a seat as long as it exists.
 */
typedef struct SM_Reader SM_Reader;

#if !defined(DM_DLS_PARAMETERS_DECLARED)
/**
 * The parameters of a license: the server to reach, and what to request from it.
 *
 * Strings may be NULL, which means the same as "". They are read during the call only, and never
 * written. Call InitDLSConnectionParameters first: it sets every field to its default.
 */
typedef struct SM_PACKED tagDM_DLSConnectionParameters {
  /**
   * URL of the main license server, such as "http://license.example:48080". Default "": the
   * environment variable SEATMETER_SERVER.
   */
  const char *mainServerURL;
  /**
   * URL of the server to ask when the main server does not answer. Default "":
   * SEATMETER_STANDBY_SERVER, or none.
   */
  const char *standbyServerURL;
  /**
   * The handshake code, 512 bytes at most. Set either this or organizationID.
   */
  const char *handshakeCode;
  /**
   * The password of the handshake code, if it has one.
   */
  const char *sessionPassword;
  /**
   * The kind of place where the software runs, one of SM_DEPLOYMENT_… Default
   * SM_DEPLOYMENT_DESKTOP, which licenses by server and by concurrent instance treat as
   * SM_DEPLOYMENT_SERVER.
   */
  int deploymentType;
  /**
   * The charge way to request, one of SM_CHARGE_… Default SM_CHARGE_AUTO: the server chooses.
   */
  int chargeWay;
  /**
   * The method by which a new device gets its UUID: SM_UUID_RANDOM (default) or
   * SM_UUID_HARDWARE.
   */
  int UUIDGenerationMethod;
  /**
   * Days for which to work without contact to a server. 7 (default) or more; less counts as 7.
   */
  int maxBufferDays;
  /**
   * Number of entries in limitedLicenseModules, 0 (default) to 1024. 0 asks for all modules.
   */
  int limitedLicenseModulesCount;
  /**
   * Modules to request. NULL (default) only with a count of 0.
   */
  const int *limitedLicenseModules;
  /**
   * Seats to request: the number of readers that may exist at the same time on this device, in
   * all its processes together. 1 (default) to 65536.
   */
  int maxConcurrentInstanceCount;
  /**
   * The organization; its default handshake code is used when handshakeCode is empty.
   */
  const char *organizationID;
  /**
   * Products to request, as bits. Default 0xffff: all.
   */
  int products;
  /**
   * Not used; 0.
   */
  char reserved[52];
} tagDM_DLSConnectionParameters;
#endif

#if !defined(DM_DLS_PARAMETERS_DECLARED)
/**
 * The parameters of a license: the server to reach, and what to request from it.
 */
typedef struct tagDM_DLSConnectionParameters DM_DLSConnectionParameters;
#endif

/**
 * A process that holds seats of this device. It is for display: the library decides nothing by it.
 */
typedef struct SM_Holder {
  /**
   * Seats that the process holds.
   */
  unsigned int seats;
  /**
   * Process id as the process itself sees it: in a container, the host sees another one.
   */
  int pid;
  /**
   * Time of its first seat, Unix seconds.
   */
  uint64_t since;
  /**
   * Name of the process, NUL-terminated; characters that are not printable are replaced.
   */
  char name[64];
} SM_Holder;

/**
 * A barcode that a decoder has read.
 */
typedef struct SM_Barcode {
  /**
   * Symbology: a BF_ number of the DBR API, or any number of your own.
   */
  int format;
  /**
   * Content. May be NULL when length is 0.
   */
  const unsigned char *bytes;
  /**
   * Bytes of content.
   */
  size_t length;
} SM_Barcode;

/**
 * The license status of this process. Times are Unix seconds in UTC; 0 means no time.
 *
 * Later versions add fields at the end.
 */
typedef struct SM_Status {
  /**
   * Set this to sizeof(SM_Status) before the call. After the call it is the number of bytes that
   * the library has filled.
   */
  size_t size;
  /**
   * One of SM_LICENSE_NONE, _GOOD, _GRACE, _STALE, _EXPIRED, _REFUSED.
   */
  int state;
  /**
   * The charge way of the license, as in DM_DLSConnectionParameters; 0 without a license.
   */
  int chargeWay;
  /**
   * SM_ERR_LICENSE_CACHE_USED (-20012) while the license stored on this device is used and no
   * server has been reached; else 0. This is not a failure: the software works.
   */
  int cacheCode;
  /**
   * SM_ERR_TRIAL_LICENSE (-20010) when the license is a trial; else 0.
   */
  int trialCode;
  /**
   * SM_ERR_EXPIRED (-20111) when the license has expired, also while the grace lasts; else 0.
   */
  int expiryCode;
  /**
   * The error number of the server's reason to permit no work, when the state is
   * SM_LICENSE_REFUSED; else 0.
   */
  int refusalCode;
  /**
   * One of SM_USAGE_UNKNOWN, _WITHIN, _IN_GRACE, _USED_UP, _OVERUSED, of the quota in the worst
   * state.
   */
  int usage;
  /**
   * The module of pages to which used, quota and grace refer; 0 for anything else.
   */
  int usageModule;
  /**
   * Seats that the server has granted to this device; 0 where the license has none.
   */
  int seatsGranted;
  /**
   * Seats that all programs of this device together hold.
   */
  int seatsHeld;
  /**
   * The value that GetIdleInstancesCount returns.
   */
  int seatsIdle;
  /**
   * First second at which the license is no longer valid, unless a server is reached before.
   */
  uint64_t validUntil;
  /**
   * End of the license: first second of the grace.
   */
  uint64_t expiresAt;
  /**
   * First second after the grace.
   */
  uint64_t graceEndsAt;
  /**
   * Start of the time slot of the oldest work that no server has recorded yet; 0 when all is
   * recorded.
   */
  uint64_t oldestUnsentAt;
  /**
   * The used part of the license (scans, pages, devices, or the overuse of this license year) in
   * the server's last report; -1 without a report.
   */
  int64_t used;
  /**
   * The quota that was bought, or the overuse budget, in the server's last report; -1 without a
   * report.
   */
  int64_t quota;
  /**
   * The amount above the quota that is still granted, in the server's last report; -1 without a
   * report.
   */
  int64_t grace;
  /**
   * Time of that report.
   */
  uint64_t toldAt;
  /**
   * Time of the last answer of a server to this process.
   */
  uint64_t contactAt;
  /**
   * Time of the failure in lastError.
   */
  uint64_t lastErrorAt;
  /**
   * Error number of the last failure; 0 when everything has succeeded since.
   */
  int lastErrorCode;
  /**
   * Stage of the request that failed: 0 not a matter of the network, 1 set-up, 2 name lookup, 3
   * connect, 4 proxy, 5 TLS, 6 HTTP status, 7 answer.
   */
  int lastErrorStage;
  /**
   * Sentence about the last failure; or "".
   */
  char lastError[SM_STATUS_TEXT_BYTES];
  /**
   * URL of the last server that answered; or "".
   */
  char server[SM_STATUS_TEXT_BYTES];
  /**
   * Number of the vendor's root keys that are built into this library. 0: it believes the key of
   * the first server that answers, from then on. -1: what was built in is no key, and no server
   * is believed.
   */
  int rootKeysBuiltIn;
  /**
   * 1 when rootKeyIds has the key of the first answer; else 0.
   */
  int rootKeyIsOfFirstAnswer;
  /**
   * Ids of the root keys that are believed now, 16 hexadecimal digits each, separated by commas:
   * those that are built in, or the key of the first answer. "" while this process knows none.
   */
  char rootKeyIds[SM_STATUS_TEXT_BYTES];
} SM_Status;

/**
 * A function that gets the lines of the log: `user` as it was set, `level` 1 error, 2 warning, 3
 * info, and a NUL-terminated `line` that is valid during the call only.
 */
typedef void (*SM_LogCallback)(void *user, int level, const char *line);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Set every field to its default.
 *
 * The strings become "", in static memory: replace the pointers by your own, and do not write to
 * the strings.
 *
 * Threads: any. Blocks: never. Returns 0, or -10002 when `parameters` is NULL.
 *
 * Pointers: `parameters` is NULL or valid for writes.
 */
int InitDLSConnectionParameters(DM_DLSConnectionParameters *parameters);

/**
 * Get this process licensed: from the license stored on this device if that is still valid, else
 * from the main license server, else from the standby.
 *
 * With a stored license it answers at once and renews in the background. `errorMsg`, if not NULL,
 * gets a sentence of at most errorMsgLen - 1 bytes on failure and "" on success, always
 * NUL-terminated. After a failed call, the license that was in use stays in use. If no server
 * could be reached and no license is in use, the background keeps trying, and readers get their
 * license as soon as a server answers. The first success, or this case, starts the library's one
 * background thread.
 *
 * Threads: any. Blocks: never with a stored license; else up to 10 s for the network. Returns 0;
 * -10001 when the process has less than 16 MiB of memory left; -10002 when `parameters` is NULL,
 * or limitedLicenseModulesCount is above 0 without its list; -10038 when a parameter is out of its
 * range; -20001 when handshakeCode has a space or a character beyond ASCII; -20002 when the state
 * directory cannot be used; -20003 when the server's answer cannot be trusted; -20004 when the
 * answer is for another device; -20005 when the system gives no random numbers for the UUID of
 * this device; -20008 when more seats are requested than the license has; -20009 when SM_Shutdown
 * was called in another thread, which cancels this call; -20123 when neither handshakeCode nor
 * organizationID is set; -20200 when no server can be reached; or the server's refusal, -20100 to
 * -20151.
 *
 * Pointers: `parameters` is NULL or points to parameters whose strings are NULL or NUL-terminated;
 * `errorMsg` is NULL or valid for writes of `errorMsgLen` bytes.
 */
int InitLicenseFromDLS(const DM_DLSConnectionParameters *parameters, char *errorMsg, int errorMsgLen);

/**
 * Count the free seats of this device, for all programs on it together.
 *
 * Threads: any. Blocks: never. Returns the number of free seats; 0 when all are taken; -1 when
 * there is no license, or it must be refreshed: call InitLicenseFromDLS; INT_MAX when the license
 * is not by concurrent instances, and so has no seats.
 */
int GetIdleInstancesCount(void);

/**
 * Set the directory for this device's state: the license, the seats, and the counts that were not
 * reported yet.
 *
 * Programs share seats when they share this directory. InitLicenseFromDLS makes it with mode 0700
 * if it does not exist. Default: the environment variable SEATMETER_STATE_DIR; else
 * /var/lib/seatmeter for root, and $XDG_STATE_HOME/seatmeter or ~/.local/state/seatmeter for
 * others (XDG base directory specification). Do not use a network file system: it does not keep
 * locks for all processes.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty;
 * -20002 when it is relative and the working directory no longer exists; -20009 after
 * InitLicenseFromDLS.
 *
 * Pointers: `path` is NULL or NUL-terminated.
 */
int SM_SetStateDirectory(const char *path);

/**
 * Set a fact about this application that the handshake code may require.
 *
 * `field` is SM_VALIDATION_WEBSITE_DOMAIN or SM_VALIDATION_APPLICATION_ID. The name of the
 * executable file is taken from the operating system and cannot be set. `value` is copied; ""
 * removes the fact.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `value` is NULL; -10038 when `field` is
 * another number, or `value` has more than 512 bytes; -20009 after InitLicenseFromDLS.
 *
 * Pointers: `value` is NULL or NUL-terminated.
 */
int SM_SetValidationField(int field, const char *value);

/**
 * Set the name by which people know this device on the server. `name` is copied.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `name` is NULL; -10038 when it has more than
 * 512 bytes; -20009 after InitLicenseFromDLS.
 *
 * Pointers: `name` is NULL or NUL-terminated.
 */
int SM_SetDeviceFriendlyName(const char *name);

/**
 * Trust the certificates in this file (PEM), in addition to those of the system, for connections
 * to a license server.
 *
 * Default: the environment variable SEATMETER_CA_FILE. The file is read when the first request is
 * sent. If it cannot be used then, InitLicenseFromDLS returns -20200 and says so.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty;
 * -20002 when it is relative and the working directory no longer exists; -20009 after the first
 * InitLicenseFromDLS of the process.
 *
 * Pointers: `path` is NULL or NUL-terminated.
 */
int SM_SetCaFile(const char *path);

/**
 * Get the client UUID by which the server knows this device: 32 hexadecimal digits.
 *
 * A device without a UUID gets a random one now. So call this after InitLicenseFromDLS if
 * UUIDGenerationMethod matters. `out` gets "" on failure.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -10038 when `len` is below
 * 33; -20002 when the state directory cannot be used; -20005 when the system gives no random
 * numbers.
 *
 * Pointers: `out` is NULL or valid for writes of `len` bytes.
 */
int SM_GetDeviceUUID(char *out, size_t len);

/**
 * Report the counts that were not reported yet, give the seats of this process back, and end the
 * background thread.
 *
 * Counts that cannot be reported in time are kept on this device, and the next program that
 * initializes here reports them. Readers that still exist hold no seat from then on, and may be
 * destroyed. After another InitLicenseFromDLS, such a reader takes a new seat when it is used.
 *
 * Requests that are in progress, also in other threads, have half of the time, and are then
 * canceled. When this has returned, no thread, connection or log callback of the library is left.
 * The only exception is a name lookup that the system does not answer: its thread remains until
 * the system gives up, and touches nothing of the host's.
 *
 * Threads: any; if several threads call this at the same time, one waits for the other. Blocks: up
 * to `timeoutMs` (milliseconds, 0 to 600000; a value out of that range counts as the nearest), and
 * 0.5 s at most for what is canceled. Returns 0; -20002 when a file of the state directory cannot
 * be used; -20003 when the server's answer cannot be trusted, or another program of this device is
 * reporting all the time; -20009 when another thread has been shutting down for all that time;
 * -20200 when no server can be reached in time; or the server's refusal, -20100 to -20151. In each
 * of these error cases some counts were not reported.
 */
int SM_Shutdown(int timeoutMs);

/**
 * Create a reader, and take a seat for it if the license has seats.
 *
 * `*out` gets the reader, to be given to SM_DestroyReader; on failure it is set to NULL. `detail`,
 * if not NULL, gets a sentence of at most detailLen - 1 bytes on failure and "" on success.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -20000 without a license, or
 * what the InitLicenseFromDLS that failed has returned; -20002 when the file of the seats cannot
 * be used; -20003 when the license was not renewed in time; -20008 when all seats of this device
 * are taken; -20111 when the license has expired; -20113 when it was revoked; -20120 when it is
 * used up; -20130 when it has no capacity for this device now.
 *
 * Pointers: `out` is NULL or valid for writes; `detail` is NULL or valid for writes of `detailLen` bytes.
 */
int SM_CreateReader(struct SM_Reader **out, char *detail, size_t detailLen);

/**
 * Create a reader as SM_CreateReader does, but wait for a seat while all are taken.
 *
 * A waiting thread sleeps. It wakes when a seat is given back, and when a process dies that held
 * one. Waiters are not served in order: the first one that is awake gets the seat.
 *
 * Threads: any. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; a value out of that range
 * counts as the nearest). Returns as SM_CreateReader; -20008 when no seat became free in time.
 *
 * Pointers: The rules of SM_CreateReader apply.
 */
int SM_CreateReaderWithin(struct SM_Reader **out, int timeoutMs, char *detail, size_t detailLen);

/**
 * Give the seat back and free the reader. NULL is allowed and does nothing.
 *
 * Threads: any, also another than the one that created it. Blocks: never.
 */
void SM_DestroyReader(struct SM_Reader *reader);

/**
 * List the processes that hold seats of this device, of all programs under the same license item.
 *
 * `holders` gets the first `capacity` of them; `*count` gets their number, even if it is larger.
 * The entries after the last one are not touched. Processes that have died are not listed: their
 * seats are free.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `count` is NULL, or `holders` with capacity
 * > 0; -20000 without a license, or what the InitLicenseFromDLS that failed has returned.
 *
 * Pointers: `holders` is NULL or valid for writes of `capacity` holders; `count` is NULL or valid for
 * writes.
 */
int SM_ListHolders(struct SM_Holder *holders, size_t capacity, size_t *count);

/**
 * Count the barcodes of one still image against the license: each different one (by symbology and
 * content) once.
 *
 * The count is in shared memory when this returns: a killed process loses nothing. Contents are
 * compared, but neither kept nor sent. `counted`, if not NULL, gets the number of different
 * barcodes, 0 on failure. A failed call counts nothing. An image without barcodes (n = 0) counts
 * no scan, but marks the device as active.
 *
 * Threads: any; one at a time for one reader. Blocks: never. Returns 0; -10000 when another thread
 * was using the reader while this process was forked; -10002 when `reader` is NULL, or `barcodes`
 * with n > 0, or a content with length > 0; -10038 when n is larger than 1048576; -20000 without a
 * license, or what the InitLicenseFromDLS that failed has returned; -20002 when the disk is full;
 * -20003 when the license was not renewed in time; -20008 when the reader holds no seat, and all
 * seats of this device are taken; -20111 when the license has expired; -20113 when it was revoked;
 * -20120 when it is used up; -20130 when it has no capacity for this device now.
 *
 * Pointers: `barcodes` is NULL or points to `n` barcodes, and each `bytes` to its `length` bytes; `counted`
 * is NULL or valid for writes.
 */
int SM_CountImage(const struct SM_Reader *reader,
                  const struct SM_Barcode *barcodes,
                  size_t n,
                  size_t *counted);

/**
 * Count the barcodes of one frame of a sequence (video): each different one once, and not again
 * until the reader's forget time has passed since it was counted.
 *
 * Otherwise as SM_CountImage. `counted`, if not NULL, gets the number of barcodes that counted
 * now. The reader keeps only hashes of counted barcodes, under a random key of its own, 1 MiB at
 * most. The time is exact to the kernel's tick, 1 to 10 ms.
 *
 * Threads: any; one at a time for one reader. Blocks: never. Returns as SM_CountImage; -10000 also
 * when the system gives no random numbers.
 *
 * Pointers: The rules of SM_CountImage apply.
 */
int SM_CountFrame(const struct SM_Reader *reader,
                  const struct SM_Barcode *barcodes,
                  size_t n,
                  size_t *counted);

/**
 * Count `n` scans of one symbology that the caller has already made unique.
 *
 * The count is in shared memory when this returns: a killed process loses nothing.
 *
 * Threads: any; one at a time for one reader. Blocks: never. Returns 0; -10038 when `n` is above
 * 4294967295; else as SM_CountImage.
 */
int SM_CountScans(const struct SM_Reader *reader, int format, uint64_t n);

/**
 * Count `n` pages of `module` (SM_PAGE_CORE, SM_PAGE_WEBCAM, SM_PAGE_PDFR or SM_PAGE_OCR).
 *
 * The count is in shared memory when this returns: a killed process loses nothing. Barcodes on
 * pages are scans, and this function does not count them.
 *
 * Threads: any. Blocks: never. Returns 0; -10038 when there is no such module, or `n` is above
 * 4294967295; -20000 without a license, or what the InitLicenseFromDLS that failed has returned;
 * -20002 when the disk is full; -20003 when the license was not renewed in time; -20111 when the
 * license has expired; -20113 when it was revoked; -20120 when the module, or the license, is used
 * up; -20130 when it has no capacity for this device now.
 */
int SM_CountPages(int module, uint64_t n);

/**
 * Set the forget time of a reader: after a barcode of a frame sequence was counted, it does not
 * count again for this time. The new time applies from the next frame on.
 *
 * `ms` is in milliseconds, 0 to 600000; 0 turns the memory across frames off. A new reader has
 * 3000.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `reader` is NULL; -10038 when `ms` is out of
 * range.
 */
int SM_SetDuplicateForgetTime(const struct SM_Reader *reader, int ms);

/**
 * Get the license status of this process.
 *
 * Set `status->size` to sizeof(SM_Status) first. Fields of a later version that this library does
 * not know are not touched, and `size` then says how many bytes were filled. `status` is untouched
 * on failure. While other programs take seats and count, the fields may come from slightly
 * different moments.
 *
 * Threads: any. Blocks: never for the network; reads the counts that were not reported yet, about
 * 0.1 ms for each program that has counted since the last report. Returns 0, also without a
 * license; -10002 when `status` is NULL; -10038 when its size is below that of the first version.
 *
 * Pointers: `status` is NULL, or its `size` is set, and as many bytes are valid for writes.
 */
int SM_GetStatus(struct SM_Status *status);

/**
 * Report the counts that were not reported yet, and renew the license, now.
 *
 * The background does this by itself. Call this when a program needs the result, or is about to
 * lose its network. `detail`, if not NULL, gets a sentence of at most detailLen - 1 bytes on
 * failure and "" on success. Counts that could not be reported are kept, and a license that could
 * not be renewed stays as it is.
 *
 * Threads: any. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; a value out of that range
 * counts as the nearest). Returns 0; -10001 when the process has less than 16 MiB of memory left;
 * -20000 before InitLicenseFromDLS, or what the InitLicenseFromDLS that failed has returned;
 * -20002 when the state directory cannot be used; -20003 when the server's answer cannot be
 * trusted, or another program of this device is in contact with it all the time; -20004 when the
 * answer is for another device; -20005 when the system gives no random numbers; -20008 when the
 * license has fewer seats than were requested; -20009 when SM_Shutdown was called in another
 * thread, which cancels this call; -20200 when no server can be reached, or the time was too short
 * for everything; or the server's refusal, -20100 to -20151.
 *
 * Pointers: `detail` is NULL or valid for writes of `detailLen` bytes.
 */
int SM_Sync(int timeoutMs, char *detail, size_t detailLen);

/**
 * Set the function that gets the log: licenses that the library gets, reports, failures with their
 * stage.
 *
 * A thread of the library calls `callback` for one line after the other, in order, and holds no
 * lock meanwhile. The callback may call every function of this library. It must not throw, jump
 * out of itself, or end its thread. A call of the library that logs a line waits until the
 * callback has returned, 1 s at most. Lines that come while a callback is at work wait; the lines
 * above 1000 are dropped, and a line says so. NULL removes the callback. When this has returned,
 * the previous callback is not called any more, so that what its `user` points to can be freed.
 * After SM_Shutdown has returned no callback is called, unless one was still at work when its time
 * was up. Lines contain no barcode and no password. Without a callback, also after NULL, the lines
 * go to the file that the environment variable SEATMETER_LOG named at InitLicenseFromDLS.
 *
 * Threads: any. Blocks: up to 1 s, while a callback is at work. Returns 0; -20009 when the
 * previous callback is still at work then, or itself made this call: nothing is changed.
 *
 * Pointers: `callback` is NULL, or may be called with `user` by any thread until it is replaced.
 */
int SM_SetLogCallback(SM_LogCallback callback, void *user);

/**
 * Get a sentence that says what an error number means and what to do about it.
 *
 * All numbers of this header, and of the headers for programs of the DBR API, are known. The
 * string is static: do not free it. Any other number has a sentence of its own, so the answer is
 * never NULL.
 *
 * Threads: any. Blocks: never. Returns a NUL-terminated string.
 */
const char *SM_GetErrorString(int code);

/**
 * Get the version of the library, such as "0.1.0".
 *
 * Threads: any. Blocks: never. Returns a static NUL-terminated string.
 */
const char *SM_GetVersion(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SEATMETER_H */
