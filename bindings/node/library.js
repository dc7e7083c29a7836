// The shared library, and the layouts of its structures.
'use strict';

const { existsSync } = require('fs');
const { join } = require('path');
const koffi = require('koffi');

const TEXT_BYTES = 512;

const Parameters = koffi.pack('DM_DLSConnectionParameters', {
  mainServer: 'const char *',
  standbyServer: 'const char *',
  handshakeCode: 'const char *',
  sessionPassword: 'const char *',
  deploymentType: 'int',
  chargeWay: 'int',
  uuidGenerationMethod: 'int',
  maxBufferDays: 'int',
  moduleCount: 'int',
  modules: 'void *',
  seats: 'int',
  organizationId: 'const char *',
  products: 'int',
  reserved: koffi.array('char', 52),
});

const Barcode = koffi.struct('SM_Barcode', { format: 'int', bytes: 'void *', length: 'size_t' });

const Status = koffi.struct('SM_Status', {
  size: 'size_t',
  state: 'int',
  chargeWay: 'int',
  cacheCode: 'int',
  trialCode: 'int',
  expiryCode: 'int',
  refusalCode: 'int',
  usage: 'int',
  usageModule: 'int',
  seatsGranted: 'int',
  seatsHeld: 'int',
  seatsIdle: 'int',
  validUntil: 'uint64_t',
  expiresAt: 'uint64_t',
  graceEndsAt: 'uint64_t',
  oldestUnsentAt: 'uint64_t',
  used: 'int64_t',
  quota: 'int64_t',
  grace: 'int64_t',
  toldAt: 'uint64_t',
  contactAt: 'uint64_t',
  lastErrorAt: 'uint64_t',
  lastErrorCode: 'int',
  lastErrorStage: 'int',
  lastError: koffi.array('char', TEXT_BYTES),
  server: koffi.array('char', TEXT_BYTES),
  rootKeysBuiltIn: 'int',
  rootKeyIsOfFirstAnswer: 'int',
  rootKeyIds: koffi.array('char', TEXT_BYTES),
});

// The beginning of the structure: results are read in place, through pointers of the library.
const TextResult = koffi.pack('TextResult', {
  format: 'int',
  formatName: 'const char *',
  format2: 'int',
  formatName2: 'const char *',
  text: 'const char *',
  bytes: 'void *',
  length: 'int',
});
const TextResults = koffi.pack('TextResultArray', { count: 'int', results: 'void *' });

const Holder = koffi.struct('SM_Holder', {
  seats: 'unsigned int',
  pid: 'int',
  since: 'uint64_t',
  name: koffi.array('char', 64),
});

const LogCallback = koffi.proto('void SM_LogCallback(void *user, int level, const char *line)');

// The library that the environment names, else the one in this package, else the system's.
function libraryPath() {
  const inside = join(__dirname, 'libseatmeter.so.0');
  return process.env.SEATMETER_LIBRARY || (existsSync(inside) ? inside : 'libseatmeter.so.0');
}

function load() {
  const path = libraryPath();
  try {
    return koffi.load(path);
  } catch (cause) {
    throw new Error(
      `the seatmeter library cannot be loaded: ${path}: ${cause.message}. Set the environment variable SEATMETER_LIBRARY to the` +
        " path of libseatmeter.so, or install the library where the system's loader looks.",
      { cause },
    );
  }
}

const shared = load();

// A library without the decoder has no DBR functions: a call of one is an error.
function decoder(signature) {
  try {
    return shared.func(signature);
  } catch (cause) {
    return () => {
      throw new Error('this libseatmeter.so was built without its decoder', { cause });
    };
  }
}

module.exports = {
  TEXT_BYTES,
  Barcode,
  Holder,
  LogCallback,
  Status,
  TextResult,
  TextResults,
  koffi,
  initParameters: shared.func('int InitDLSConnectionParameters(_Out_ DM_DLSConnectionParameters *parameters)'),
  initialize: shared.func('int InitLicenseFromDLS(const DM_DLSConnectionParameters *parameters, void *message, int length)'),
  idleCount: shared.func('int GetIdleInstancesCount()'),
  setStateDirectory: shared.func('int SM_SetStateDirectory(const char *path)'),
  setValidationField: shared.func('int SM_SetValidationField(int field, const char *value)'),
  setDeviceFriendlyName: shared.func('int SM_SetDeviceFriendlyName(const char *name)'),
  setCaFile: shared.func('int SM_SetCaFile(const char *path)'),
  getDeviceUuid: shared.func('int SM_GetDeviceUUID(void *out, size_t length)'),
  setLogCallback: shared.func('int SM_SetLogCallback(SM_LogCallback *callback, void *user)'),
  listHolders: shared.func('int SM_ListHolders(void *holders, size_t capacity, _Out_ size_t *count)'),
  createReader: shared.func('int SM_CreateReader(_Out_ void **reader, void *detail, size_t length)'),
  createReaderWithin: shared.func('int SM_CreateReaderWithin(_Out_ void **reader, int ms, void *detail, size_t length)'),
  destroyReader: shared.func('void SM_DestroyReader(void *reader)'),
  countImage: shared.func('int SM_CountImage(void *reader, const SM_Barcode *barcodes, size_t n, _Out_ size_t *counted)'),
  countFrame: shared.func('int SM_CountFrame(void *reader, const SM_Barcode *barcodes, size_t n, _Out_ size_t *counted)'),
  countScans: shared.func('int SM_CountScans(void *reader, int format, uint64_t n)'),
  setDuplicateForgetTime: shared.func('int SM_SetDuplicateForgetTime(void *reader, int ms)'),
  countPages: shared.func('int SM_CountPages(int module, uint64_t n)'),
  status: shared.func('int SM_GetStatus(_Inout_ SM_Status *status)'),
  sync: shared.func('int SM_Sync(int ms, void *detail, size_t length)'),
  shutdown: shared.func('int SM_Shutdown(int ms)'),
  errorString: shared.func('const char *SM_GetErrorString(int code)'),
  version: shared.func('const char *SM_GetVersion()'),
  createInstance: decoder('void *DBR_CreateInstance()'),
  destroyInstance: decoder('void DBR_DestroyInstance(void *instance)'),
  decodeFile: decoder('int DBR_DecodeFile(void *instance, const char *path, const char *template)'),
  allTextResults: decoder('int DBR_GetAllTextResults(void *instance, _Out_ void **results)'),
  freeTextResults: decoder('void DBR_FreeTextResults(_Inout_ void **results)'),
};
