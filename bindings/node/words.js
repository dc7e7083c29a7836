// The words of this module for the names of C in messages of the library.
'use strict';

const WORDS = {
  mainServerURL: 'server',
  standbyServerURL: 'standbyServer',
  handshakeCode: 'handshakeCode',
  sessionPassword: 'sessionPassword',
  deploymentType: 'deploymentType',
  chargeWay: 'chargeWay',
  UUIDGenerationMethod: 'uuidGenerationMethod',
  maxBufferDays: 'maxBufferDays',
  limitedLicenseModulesCount: 'modules',
  limitedLicenseModules: 'modules',
  maxConcurrentInstanceCount: 'seats',
  organizationID: 'organizationId',
  InitDLSConnectionParameters: 'initialize()',
  InitLicenseFromDLS: 'initialize()',
  GetIdleInstancesCount: 'idleCount()',
  SM_SetStateDirectory: 'setStateDirectory()',
  SM_SetValidationField: 'setValidationField()',
  SM_SetDeviceFriendlyName: 'setDeviceFriendlyName()',
  SM_SetCaFile: 'setCaFile()',
  SM_GetDeviceUUID: 'deviceUuid()',
  SM_SetLogCallback: 'setLog()',
  SM_CreateReader: 'new Reader()',
  SM_CreateReaderWithin: 'Reader.within()',
  SM_DestroyReader: 'close()',
  SM_CountImage: 'countImage()',
  SM_CountFrame: 'countFrame()',
  SM_CountScans: 'countScans()',
  SM_SetDuplicateForgetTime: 'setDuplicateForgetTime()',
  SM_CountPages: 'countPages()',
  SM_ListHolders: 'holders()',
  SM_GetStatus: 'status()',
  SM_Sync: 'sync()',
  SM_Shutdown: 'shutdown()',
  SM_GetErrorString: 'SeatmeterError',
  SM_GetVersion: 'version()',
};

const NAMES = new RegExp(`\\b(${Object.keys(WORDS).join('|')})\\b(\\(\\))?`, 'g');

// Returns the message with this module's names in place of those of the C API.
function inJavaScript(message) {
  return message.replace(NAMES, (_, name) => WORDS[name]);
}

module.exports = { inJavaScript };
