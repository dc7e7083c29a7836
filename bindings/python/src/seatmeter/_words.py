"""The words of Python for the names of C in messages of the library."""

import re

WORDS = {
    "mainServerURL": "server",
    "standbyServerURL": "standby_server",
    "handshakeCode": "handshake_code",
    "sessionPassword": "session_password",
    "deploymentType": "deployment_type",
    "chargeWay": "charge_way",
    "UUIDGenerationMethod": "uuid_generation_method",
    "maxBufferDays": "max_buffer_days",
    "limitedLicenseModulesCount": "modules",
    "limitedLicenseModules": "modules",
    "maxConcurrentInstanceCount": "seats",
    "organizationID": "organization_id",
    "InitDLSConnectionParameters": "initialize()",
    "InitLicenseFromDLS": "initialize()",
    "GetIdleInstancesCount": "idle_count()",
    "SM_SetStateDirectory": "set_state_directory()",
    "SM_SetValidationField": "set_validation_field()",
    "SM_SetDeviceFriendlyName": "set_device_friendly_name()",
    "SM_SetCaFile": "set_ca_file()",
    "SM_GetDeviceUUID": "device_uuid()",
    "SM_SetLogCallback": "set_log()",
    "SM_CreateReader": "Reader()",
    "SM_CreateReaderWithin": "Reader(wait_ms=...)",
    "SM_DestroyReader": "Reader.close()",
    "SM_CountImage": "Reader.count_image()",
    "SM_CountFrame": "Reader.count_frame()",
    "SM_CountScans": "Reader.count_scans()",
    "SM_SetDuplicateForgetTime": "Reader.set_duplicate_forget_time()",
    "SM_CountPages": "count_pages()",
    "SM_ListHolders": "holders()",
    "SM_GetStatus": "status()",
    "SM_Sync": "sync()",
    "SM_Shutdown": "shutdown()",
    "SM_GetErrorString": "Error",
    "SM_GetVersion": "version()",
}

_NAMES = re.compile(r"\b(" + "|".join(WORDS) + r")\b(\(\))?")


def in_python(message: str) -> str:
    """Return the message with Python's names in place of those of the C API."""
    return _NAMES.sub(lambda found: WORDS[found[1]], message)
