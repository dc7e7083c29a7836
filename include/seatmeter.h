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

/* Made from src/capi by cbindgen: change the source, then run UPDATE_HEADER=1 cargo test --test header. */

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
/** The license cannot be used. Get this process licensed again: what is wrong with the license is told then. */
#define SM_ERR_LICENSE_INVALID (-10003)
/** The license has expired. Ask your vendor to renew it. */
#define SM_ERR_LICENSE_EXPIRED (-10004)
/** The file does not exist, or may not be read. Check path and permissions. */
#define SM_ERR_FILE_NOT_FOUND (-10005)
/** The file is not in an image format that this library reads. */
#define SM_ERR_FILETYPE_NOT_SUPPORTED (-10006)
/** A bitmap with this number of bits a pixel is not read; 1, 4, 8, 16, 24 and 32 are. */
#define SM_ERR_BPP_NOT_SUPPORTED (-10007)
/** There is nothing with this index. */
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
/** The bitmap's header says what cannot be. */
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
/** The size is not a possible one. */
#define SM_ERR_CUSTOM_SIZE_INVALID (-10024)
/** The size of a module is not a possible one. */
#define SM_ERR_CUSTOM_MODULESIZE_INVALID (-10025)
/** The time was over before all of the picture was searched. What was found by then is there. */
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
/** Frames are being decoded already. Stop that first. */
#define SM_ERR_FRAME_DECODING_THREAD_EXISTS (-10049)
/** No frames are being decoded, so that there is nothing to stop. */
#define SM_ERR_STOP_DECODING_THREAD_FAILED (-10050)
/** There is no such list of modes, or no mode at this index. */
#define SM_ERR_SET_MODE_ARGUMENT_ERROR (-10051)
/** The content is no license. */
#define SM_ERR_LICENSE_CONTENT_INVALID (-10052)
/** The license key has a form that no key has. */
#define SM_ERR_LICENSE_KEY_INVALID (-10053)
/** The license has no room for another device. */
#define SM_ERR_LICENSE_DEVICE_RUNS_OUT (-10054)
/** There is no such list of modes or no mode at this index, the argument was not set, or the buffer is too short. */
#define SM_ERR_GET_MODE_ARGUMENT_ERROR (-10055)
/** This library has no intermediate results to give. Ask for none. */
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
/** There is no license yet. Call InitLicenseFromDLS first, and look at what it returns. */
#define SM_ERR_NO_LICENSE (-20000)
/** The handshake code has characters or a length that no code has. Copy it anew from the one who runs the license server. */
#define SM_ERR_HANDSHAKE_CODE_INVALID (-20001)
/** The state directory cannot be read or written. Check its path, permissions and free space. */
#define SM_ERR_LICENSE_BUFFER_FAILED (-20002)
/** The license server's answer cannot be used or trusted, or the license was not renewed in time. Check the server's URL and the network, then call InitLicenseFromDLS again. */
#define SM_ERR_LICENSE_SYNC_FAILED (-20003)
/** The stored license belongs to another device. Let the program reach the license server once, to get one for this device. */
#define SM_ERR_DEVICE_NOT_MATCH (-20004)
/** The license server could not register this device. Try again, and ask the one who runs the server to look at its log. */
#define SM_ERR_BIND_DEVICE_FAILED (-20005)
/** Two ways of licensing are used in one process. Use InitLicenseFromDLS alone. */
#define SM_ERR_LICENSE_INTERFACE_CONFLICT (-20006)
/** A part of the licensing library is missing. Install it again. */
#define SM_ERR_LICENSE_CLIENT_DLL_MISSING (-20007)
/** All seats of this license are in use, or more are asked for than it has. Destroy a reader, wait for a seat, or ask for another number of seats. */
#define SM_ERR_INSTANCE_COUNT_OVER_LIMIT (-20008)
/** The function was called at the wrong time. Make settings before InitLicenseFromDLS, and do not replace a log callback from within it. */
#define SM_ERR_LICENSE_INIT_SEQUENCE_FAILED (-20009)
/** This is a trial license. Nothing is wrong; ask your vendor for a full one. */
#define SM_ERR_TRIAL_LICENSE (-20010)
/** The license server cannot be reached, and the license stored on this device is in use. The program works on; let it reach the server before the license ends. */
#define SM_ERR_LICENSE_CACHE_USED (-20012)
/** This license server is a standby while its main server is up, or is not ready. Ask again, and set mainServerURL to the main server. */
#define SM_ERR_STANDBY_NOT_READY (-20100)
/** The license server has no such handshake code. Check the code and the server's address. */
#define SM_ERR_HANDSHAKE_CODE_UNKNOWN (-20101)
/** The session password is missing or wrong. Set sessionPassword to the password of the handshake code. */
#define SM_ERR_SESSION_PASSWORD_WRONG (-20102)
/** The handshake code is not valid for this website. Set the website domain with SM_SetValidationField, or ask for a code that lists it. */
#define SM_ERR_DOMAIN_MISMATCH (-20103)
/** The handshake code has no license item that fits this request. Compare what the program asks for with the items of the code. */
#define SM_ERR_NO_ITEM_FITS (-20104)
/** The license does not cover this product. Ask your vendor for one that does. */
#define SM_ERR_PRODUCT_MISMATCH (-20106)
/** The license does not cover this version of the product. Ask your vendor for one that does, or use an older version. */
#define SM_ERR_VERSION_MISMATCH (-20107)
/** The license is not good for this deploymentType. Set deploymentType to one that the license lists. */
#define SM_ERR_DEPLOYMENT_TYPE_MISMATCH (-20108)
/** The license does not cover this edition of the product. Ask your vendor for one that does. */
#define SM_ERR_EDITION_MISMATCH (-20109)
/** The license has expired. Ask your vendor to renew it. */
#define SM_ERR_EXPIRED (-20111)
/** The license is not in effect yet. Wait for its start, or check the clock of the license server. */
#define SM_ERR_NOT_YET_IN_EFFECT (-20112)
/** The license has been revoked. Ask your vendor. */
#define SM_ERR_REVOKED (-20113)
/** The handshake code was made for another application. Set what it asks for with SM_SetValidationField, or ask for a code for this one. */
#define SM_ERR_VALIDATION_FIELD_MISMATCH (-20114)
/** The handshake code has no license item with this charge way. Set chargeWay to 0, and the server chooses. */
#define SM_ERR_CHARGE_WAY_MISMATCH (-20115)
/** The license is used up, with its grace. Ask your vendor for more. */
#define SM_ERR_USED_UP (-20120)
/** The organization is unknown, or has no default handshake code. Check organizationID, or set handshakeCode. */
#define SM_ERR_ORGANIZATION_UNKNOWN (-20121)
/** The handshake code belongs to another organization. Leave organizationID empty, or set the one of the code. */
#define SM_ERR_HANDSHAKE_CODE_OF_OTHER_ORGANIZATION (-20122)
/** Neither handshakeCode nor organizationID is set. Set one of them. */
#define SM_ERR_NO_HANDSHAKE_CODE (-20123)
/** A license item that this one depends on is missing. Ask the one who runs the license server to import it. */
#define SM_ERR_REQUIRED_ITEM_MISSING (-20124)
/** The license has no place for another authorization now. Try again when a device has given its place back, or ask for more. */
#define SM_ERR_QUOTA_EXCEEDED (-20130)
/** Another installation uses this device's identity. Call InitLicenseFromDLS again: this one gets an identity of its own. */
#define SM_ERR_DEVICE_CLONED (-20151)
/** The license server cannot be reached. Check its URL, the network and the proxy, or run seatmeterd doctor. */
#define SM_ERR_FAILED_TO_REACH_SERVER (-20200)


/**
 * deploymentType: a machine that works for others.
 */
#define SM_DEPLOYMENT_SERVER 1

/**
 * deploymentType: a computer that works for its own user.
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
 * Pages rasterised from PDF.
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
 * SM_Status.state: the license is good.
 */
#define SM_LICENSE_GOOD 1

/**
 * SM_Status.state: the license has expired, and works on for the seven days of grace: warn the
 * user.
 */
#define SM_LICENSE_GRACE 2

/**
 * SM_Status.state: the license was not renewed in time, and is refused until a server is reached.
 */
#define SM_LICENSE_STALE 3

/**
 * SM_Status.state: the license has expired, with its grace.
 */
#define SM_LICENSE_EXPIRED 4

/**
 * SM_Status.state: the server lets no work be done under the license: it was revoked, is used up,
 * or has no room.
 */
#define SM_LICENSE_REFUSED 5

/**
 * SM_Status.usage: the server has not told, or in a way that only later versions know.
 */
#define SM_USAGE_UNKNOWN 0

/**
 * SM_Status.usage: below what was bought.
 */
#define SM_USAGE_WITHIN 1

/**
 * SM_Status.usage: all that was bought is used, and the grace is running: warn the user.
 */
#define SM_USAGE_IN_GRACE 2

/**
 * SM_Status.usage: used up with its grace. Scans and pages are refused, and devices that are new.
 */
#define SM_USAGE_USED_UP 3

/**
 * SM_Status.usage: the overuse budget of a concurrent license is exceeded: N at a time are
 * authorized.
 */
#define SM_USAGE_OVERUSED 4

/**
 * Bytes of each text in a status, with its NUL; longer ones are cut.
 */
#define SM_STATUS_TEXT_BYTES 512

/**
 * A reader: under a license by concurrent instances it holds a seat as long as it exists.
 */
typedef struct SM_Reader SM_Reader;

#if !defined(DM_DLS_PARAMETERS_DECLARED)
/**
 * How to reach the license server, and what to ask it for.
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
   * URL of the server to ask when the main one is silent. Default "": SEATMETER_STANDBY_SERVER,
   * or none.
   */
  const char *standbyServerURL;
  /**
   * The handshake code, 512 bytes at most. Either this or organizationID must be set.
   */
  const char *handshakeCode;
  /**
   * The password of the handshake code, if it has one.
   */
  const char *sessionPassword;
  /**
   * Where the software runs, one of SM_DEPLOYMENT_… Default SM_DEPLOYMENT_DESKTOP, which
   * licenses by server and by concurrent instance take as SM_DEPLOYMENT_SERVER.
   */
  int deploymentType;
  /**
   * By what the software is to be charged, one of SM_CHARGE_… Default SM_CHARGE_AUTO: the server
   * chooses.
   */
  int chargeWay;
  /**
   * How a device that is new gets its UUID: SM_UUID_RANDOM (default) or SM_UUID_HARDWARE.
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
   * Modules to ask for. NULL (default) only with a count of 0.
   */
  const int *limitedLicenseModules;
  /**
   * Seats to ask for: readers that may exist at one time on this device, in all its processes
   * together. 1 (default) to 65536.
   */
  int maxConcurrentInstanceCount;
  /**
   * The organization; its default handshake code is used when handshakeCode is empty.
   */
  const char *organizationID;
  /**
   * Products to be licensed for, as bits. Default 0xffff: all.
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
 * How to reach the license server, and what to ask it for.
 */
typedef struct tagDM_DLSConnectionParameters DM_DLSConnectionParameters;
#endif

/**
 * A process that holds seats of this device. For people: nothing is decided by it.
 */
typedef struct SM_Holder {
  /**
   * Seats that it holds.
   */
  unsigned int seats;
  /**
   * Its process id, as it sees itself: in a container that is not what the host sees.
   */
  int pid;
  /**
   * When it took its first seat, Unix seconds.
   */
  uint64_t since;
  /**
   * Its name, NUL-terminated; what is not printable is replaced.
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
 * How this process stands with its license. Times are Unix seconds in UTC; 0 where there is none.
 *
 * Later versions add fields at the end.
 */
typedef struct SM_Status {
  /**
   * Set it to sizeof(SM_Status) before the call. Afterwards: how many bytes of it the library
   * has filled.
   */
  size_t size;
  /**
   * One of SM_LICENSE_NONE, _GOOD, _GRACE, _STALE, _EXPIRED, _REFUSED.
   */
  int state;
  /**
   * By what the license is charged, as in DM_DLSConnectionParameters; 0 without a license.
   */
  int chargeWay;
  /**
   * SM_ERR_LICENSE_CACHE_USED (-20012) while the license stored on this device is used and no
   * server has been reached; else 0. Not a failure: the software works.
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
   * Why the server lets no work be done, as an error number, when the state is
   * SM_LICENSE_REFUSED; else 0.
   */
  int refusalCode;
  /**
   * One of SM_USAGE_UNKNOWN, _WITHIN, _IN_GRACE, _USED_UP, _OVERUSED: of the quota that stands
   * worst.
   */
  int usage;
  /**
   * Module of pages of which used, quota and grace tell; 0 for anything else.
   */
  int usageModule;
  /**
   * Seats that the server has granted to this device; 0 where the license has none.
   */
  int seatsGranted;
  /**
   * Seats that are held, by all programs of this device together.
   */
  int seatsHeld;
  /**
   * As GetIdleInstancesCount says.
   */
  int seatsIdle;
  /**
   * First second at which the license stops to be good, unless a server is reached before.
   */
  uint64_t validUntil;
  /**
   * When the license expires: first second of the grace.
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
   * What is used of the license (scans, pages, devices, or the overuse of this license year), as
   * the server has last told; -1: it has not.
   */
  int64_t used;
  /**
   * What was bought, or the overuse budget, as the server has last told; -1: it has not.
   */
  int64_t quota;
  /**
   * How much more is granted all the same, as the server has last told; -1: it has not.
   */
  int64_t grace;
  /**
   * When the server has told that.
   */
  uint64_t toldAt;
  /**
   * When a server has last answered this process.
   */
  uint64_t contactAt;
  /**
   * When what lastError tells failed.
   */
  uint64_t lastErrorAt;
  /**
   * What failed last: its number; 0 when all went well since.
   */
  int lastErrorCode;
  /**
   * How far the request came that failed: 0 not a matter of the network, 1 set-up, 2 name
   * lookup, 3 connect, 4 proxy, 5 TLS, 6 HTTP status, 7 answer.
   */
  int lastErrorStage;
  /**
   * What failed last, in a sentence; or "".
   */
  char lastError[SM_STATUS_TEXT_BYTES];
  /**
   * URL of the server that has answered last; or "".
   */
  char server[SM_STATUS_TEXT_BYTES];
} SM_Status;

/**
 * A function that gets the lines of the log: `user` as it was given, `level` 1 error, 2 warning, 3
 * info, and a NUL-terminated `line` that is good during the call only.
 */
typedef void (*SM_LogCallback)(void *user, int level, const char *line);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Set every field to its default.
 *
 * The strings become "", in static memory: point them at your own, do not write into them.
 *
 * Threads: any. Blocks: never. Returns 0, or -10002 when `parameters` is NULL.
 *
 * Pointers: `parameters` is NULL or good for writes.
 */
int InitDLSConnectionParameters(DM_DLSConnectionParameters *parameters);

/**
 * Get this process licensed: from the license stored on this device if that is still good, else
 * from the main license server, else from the standby.
 *
 * With a stored license it answers at once and renews in the background. `errorMsg`, if not NULL,
 * gets a sentence of at most errorMsgLen - 1 bytes on failure and "" on success, always
 * NUL-terminated. What was in use before a failed call stays in use. If no server could be reached
 * and nothing is in use, the background goes on asking, and readers get their license as soon as a
 * server is there. The first success, or that, starts the library's one background thread.
 *
 * Threads: any. Blocks: never with a stored license; else up to 10 s for the network. Returns 0;
 * -10001 when the process has less than 16 MiB of memory left; -10002 when `parameters` is NULL,
 * or limitedLicenseModules is and its count is not 0; -10038 when a parameter is out of its range;
 * -20001 when handshakeCode has a space or a character beyond ASCII; -20002 when the state
 * directory cannot be used; -20003 when the server's answer cannot be trusted; -20004 when the
 * answer is for another device; -20005 when the system gives no random numbers for the UUID of
 * this device; -20008 when more seats are asked for than there are; -20009 when SM_Shutdown was
 * called in another thread, which calls this off; -20123 when neither handshakeCode nor
 * organizationID is set; -20200 when no server can be reached; or the server's refusal, -20100 to
 * -20151.
 *
 * Pointers: `parameters` is NULL or points to parameters whose strings are NULL or NUL-terminated;
 * `errorMsg` is NULL or good for writes of `errorMsgLen` bytes.
 */
int InitLicenseFromDLS(const DM_DLSConnectionParameters *parameters, char *errorMsg, int errorMsgLen);

/**
 * Count the seats of this device that are free: for all programs on it together.
 *
 * Threads: any. Blocks: never. Returns the number of free seats; 0 when all are taken; -1 when
 * there is no license, or it has to be refreshed: call InitLicenseFromDLS; INT_MAX when the
 * license is not one by concurrent instances, and so has no seats.
 */
int GetIdleInstancesCount(void);

/**
 * Choose where this device's state is kept: the license, the seats, what is counted and not yet
 * reported.
 *
 * Programs share seats when they share this directory. It is made with mode 0700 where it does not
 * exist, when InitLicenseFromDLS is called. Default: the environment variable SEATMETER_STATE_DIR;
 * else /var/lib/seatmeter for root, and $XDG_STATE_HOME/seatmeter or ~/.local/state/seatmeter for
 * others (XDG base directory specification). Not on a network file system: those keep no locks for
 * all processes.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty;
 * -20002 when it is relative, and the working directory is gone; -20009 after InitLicenseFromDLS.
 *
 * Pointers: `path` is NULL or NUL-terminated.
 */
int SM_SetStateDirectory(const char *path);

/**
 * Tell the server a fact about this application that the handshake code may ask for.
 *
 * `field` is SM_VALIDATION_WEBSITE_DOMAIN or SM_VALIDATION_APPLICATION_ID. The name of the
 * executable file is taken from the operating system and cannot be set. `value` is copied; ""
 * takes the fact back.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `value` is NULL; -10038 when `field` is
 * another number, or `value` has more than 512 bytes; -20009 after InitLicenseFromDLS.
 *
 * Pointers: `value` is NULL or NUL-terminated.
 */
int SM_SetValidationField(int field, const char *value);

/**
 * Give this device a name by which people know it on the server. `name` is copied.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `name` is NULL; -10038 when it has more than
 * 512 bytes; -20009 after InitLicenseFromDLS.
 *
 * Pointers: `name` is NULL or NUL-terminated.
 */
int SM_SetDeviceFriendlyName(const char *name);

/**
 * Trust the certificates in this file (PEM), beside those that the system trusts, when connecting
 * to a license server.
 *
 * Default: the environment variable SEATMETER_CA_FILE. The file is read when the first request is
 * sent; if it cannot be used then, InitLicenseFromDLS says so, with -20200.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `path` is NULL; -10038 when it is empty;
 * -20002 when it is relative, and the working directory is gone; -20009 after the first
 * InitLicenseFromDLS of the process.
 *
 * Pointers: `path` is NULL or NUL-terminated.
 */
int SM_SetCaFile(const char *path);

/**
 * Get the client UUID by which the server knows this device: 32 hexadecimal digits.
 *
 * A device that has none yet gets one now, at random: call it after InitLicenseFromDLS if
 * UUIDGenerationMethod is to matter. `out` gets "" on failure.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -10038 when `len` is below
 * 33; -20002 when the state directory cannot be used; -20005 when the system gives no random
 * numbers.
 *
 * Pointers: `out` is NULL or good for writes of `len` bytes.
 */
int SM_GetDeviceUUID(char *out, size_t len);

/**
 * Report what is counted and not yet reported, give the seats of this process back, and end the
 * background thread.
 *
 * What cannot be reported in time is kept on this device and reported by the next program that
 * initializes here. Readers that still exist hold no seat from then on, and may be destroyed;
 * after InitLicenseFromDLS was called again, one that is used takes a seat anew.
 *
 * Requests that are under way, also those of other threads, have half of the time, and are then
 * called off. When this has returned, no thread, connection or log callback of the library is
 * left. Only a name lookup that the system does not answer keeps a thread until the system gives
 * up; it touches nothing of the host's.
 *
 * Threads: any; of several at once one waits for the other. Blocks: up to `timeoutMs`
 * (milliseconds, 0 to 600000; out of that range counts as the nearest), and 0.5 s at most for what
 * is called off. Returns 0; -20002 when a file of the state directory cannot be used; -20003 when
 * the server's answer cannot be trusted, or another program of this device is reporting all the
 * time; -20009 when another thread has been shutting down for all that time; -20200 when no server
 * can be reached in time; or the server's refusal, -20100 to -20151. In each of these cases
 * something is left to report.
 */
int SM_Shutdown(int timeoutMs);

/**
 * Create a reader, and take a seat for it where the license has seats.
 *
 * `*out` gets the reader, to be given to SM_DestroyReader; on failure it is set to NULL. `detail`,
 * if not NULL, gets a sentence of at most detailLen - 1 bytes on failure and "" on success.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `out` is NULL; -20000 without a license, or
 * what the InitLicenseFromDLS that failed has returned; -20002 when the file of the seats cannot
 * be used; -20003 when the license was not renewed in time; -20008 when all seats of this device
 * are taken; -20111 when the license has expired; -20113 when it was revoked; -20120 when it is
 * used up; -20130 when it has no room for this device now.
 *
 * Pointers: `out` is NULL or good for writes; `detail` is NULL or good for writes of `detailLen` bytes.
 */
int SM_CreateReader(struct SM_Reader **out, char *detail, size_t detailLen);

/**
 * Create a reader as SM_CreateReader does, waiting for a seat while all are taken.
 *
 * A waiting thread sleeps. A seat that is given back wakes it, and so does the death of a process
 * that held one. Nobody is served in order: who is awake first has the seat.
 *
 * Threads: any. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; out of that range counts as
 * the nearest). Returns as SM_CreateReader; -20008 when no seat became free in time.
 *
 * Pointers: As for SM_CreateReader.
 */
int SM_CreateReaderWithin(struct SM_Reader **out, int timeoutMs, char *detail, size_t detailLen);

/**
 * Give the seat back and free the reader. NULL is allowed and does nothing.
 *
 * Threads: any, also another than that which created it. Blocks: never.
 */
void SM_DestroyReader(struct SM_Reader *reader);

/**
 * List the processes that hold seats of this device, of all programs under the same license item.
 *
 * `holders` gets the first `capacity` of them; `*count` gets how many there are, also when that is
 * more. What is behind the last one is not touched. Processes that have died are not listed: their
 * seats are free.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `count` is NULL, or `holders` with capacity
 * > 0; -20000 without a license, or what the InitLicenseFromDLS that failed has returned.
 *
 * Pointers: `holders` is NULL or good for writes of `capacity` holders; `count` is NULL or good for writes.
 */
int SM_ListHolders(struct SM_Holder *holders, size_t capacity, size_t *count);

/**
 * Count the barcodes of one still image against the license: each different one (by symbology and
 * content) once.
 *
 * The count is in shared memory when this returns: a killed process loses nothing. Content is
 * compared, and neither kept nor sent. `counted`, if not NULL, gets the number of different
 * barcodes, 0 on failure. On failure nothing was counted. An image without barcodes (n = 0) counts
 * no scan, but marks the device as active.
 *
 * Threads: any; one at a time for one reader. Blocks: never. Returns 0; -10000 when another thread
 * was at work with the reader while this process was forked; -10002 when `reader` is NULL, or
 * `barcodes` with n > 0, or a content with length > 0; -10038 when n is larger than 1048576;
 * -20000 without a license, or what the InitLicenseFromDLS that failed has returned; -20002 when
 * the disk is full; -20003 when the license was not renewed in time; -20008 when the reader holds
 * no seat, and all seats of this device are taken; -20111 when the license has expired; -20113
 * when it was revoked; -20120 when it is used up; -20130 when it has no room for this device now.
 *
 * Pointers: `barcodes` is NULL or points to `n` barcodes, and each `bytes` to its `length` bytes; `counted`
 * is NULL or good for writes.
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
 * now. Of what was counted the reader keeps hashes under a random key of its own, 1 MiB at most,
 * and nothing else. The time is exact to the kernel's tick, 1 to 10 ms.
 *
 * Threads: any; one at a time for one reader. Blocks: never. Returns as SM_CountImage; -10000 also
 * when the system gives no random numbers.
 *
 * Pointers: As for SM_CountImage.
 */
int SM_CountFrame(const struct SM_Reader *reader,
                  const struct SM_Barcode *barcodes,
                  size_t n,
                  size_t *counted);

/**
 * Count `n` scans of one symbology that the caller has made unique himself.
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
 * pages are scans, and not counted by this.
 *
 * Threads: any. Blocks: never. Returns 0; -10038 when there is no such module, or `n` is above
 * 4294967295; -20000 without a license, or what the InitLicenseFromDLS that failed has returned;
 * -20002 when the disk is full; -20003 when the license was not renewed in time; -20111 when the
 * license has expired; -20113 when it was revoked; -20120 when the module, or the license, is used
 * up; -20130 when it has no room for this device now.
 */
int SM_CountPages(int module, uint64_t n);

/**
 * Set for how long a barcode of a frame sequence that was counted does not count again, from the
 * next frame on.
 *
 * `ms` is in milliseconds, 0 to 600000; 0 switches the memory across frames off. A new reader has
 * 3000.
 *
 * Threads: any. Blocks: never. Returns 0; -10002 when `reader` is NULL; -10038 when `ms` is out of
 * range.
 */
int SM_SetDuplicateForgetTime(const struct SM_Reader *reader, int ms);

/**
 * Get how this process stands with its license.
 *
 * Set `status->size` to sizeof(SM_Status) first. What a later program has behind the fields that
 * this library knows is not touched, and `size` then says how much was filled. `status` is
 * untouched on failure. The status is a picture of the moment: while other programs take seats and
 * count, its parts may be of two moments.
 *
 * Threads: any. Blocks: never for the network; reads what is not reported yet, some 0.1 ms for
 * each program that has counted since the last report. Returns 0, also without a license; -10002
 * when `status` is NULL; -10038 when its size is below that of the first version.
 *
 * Pointers: `status` is NULL, or its `size` is set, and as many bytes are good for writes.
 */
int SM_GetStatus(struct SM_Status *status);

/**
 * Report what is counted and not yet reported, and renew the license, now.
 *
 * The background does this by itself; call it where a program wants to know, or is about to lose
 * its network. `detail`, if not NULL, gets a sentence of at most detailLen - 1 bytes on failure
 * and "" on success. What could not be reported is kept, and a license that could not be renewed
 * goes on as it is.
 *
 * Threads: any. Blocks: up to `timeoutMs` (milliseconds, 0 to 600000; out of that range counts as
 * the nearest). Returns 0; -10001 when the process has less than 16 MiB of memory left; -20000
 * before InitLicenseFromDLS, or what the InitLicenseFromDLS that failed has returned; -20002 when
 * the state directory cannot be used; -20003 when the server's answer cannot be trusted, or
 * another program of this device is talking to it all the time; -20004 when the answer is for
 * another device; -20005 when the system gives no random numbers; -20008 when the license has
 * fewer seats than were asked for; -20009 when SM_Shutdown was called in another thread, which
 * calls this off; -20200 when no server can be reached, or the time was too short for everything;
 * or the server's refusal, -20100 to -20151.
 *
 * Pointers: `detail` is NULL or good for writes of `detailLen` bytes.
 */
int SM_Sync(int timeoutMs, char *detail, size_t detailLen);

/**
 * Hear what the library does: licenses that it gets, reports, failures with their stage.
 *
 * `callback` is called by a thread of the library's own, for one line after the other, in order,
 * while that thread holds no lock. It may call every function of this library. It must not throw,
 * jump out of itself, or end its thread. A call that has something to say waits until that was
 * heard, 1 s at most. Lines that come while a callback is at work wait; of more than 1000 the rest
 * is dropped, which a line tells. NULL ends it. When this has returned, the callback that was set
 * before is not called any more, so that what its `user` points to can be freed; and none is
 * called after SM_Shutdown has returned, unless it was still at work when the time was up. Lines
 * hold no barcode and no password. Without a callback, also after NULL, the file that the
 * environment variable SEATMETER_LOG named at InitLicenseFromDLS gets the lines.
 *
 * Threads: any. Blocks: up to 1 s, while a callback is at work. Returns 0; -20009 when the
 * callback of before is still at work then, or called this itself: nothing is changed.
 *
 * Pointers: `callback` is NULL, or may be called with `user` by any thread until it is taken back.
 */
int SM_SetLogCallback(SM_LogCallback callback, void *user);

/**
 * What an error number means and what to do about it, in a sentence.
 *
 * It knows every number of this header, and of the headers for programs of the DBR API. The string
 * is static: it needs no free. Any other number has a sentence of its own, so the answer is never
 * NULL.
 *
 * Threads: any. Blocks: never. Returns a NUL-terminated string.
 */
const char *SM_GetErrorString(int code);

/**
 * The version of the library, such as "0.1.0".
 *
 * Threads: any. Blocks: never. Returns a static NUL-terminated string.
 */
const char *SM_GetVersion(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* SEATMETER_H */
