/*
 * Barcode reading for programs written for the DBR 9.x C and C++ API, implemented by libseatmeter.
 *
 * It is the header of include/dbr with DBR_InitLicense as 9.x declares it, (license, message buffer, its length), with
 * BF_CODE_11 in BF_ALL and BF_ONED, with orientation in ImageData, transformationMatrix in LocalizationResult and
 * coordinate in DM_Point, and with names of 9.6 for what is reserved in 8.x. Other additions of 9.6 are in that header,
 * marked _DBR 9.6_. Other layouts are those of 8.8. Programs compiled with either header can run with the library, and
 * in one process.
 *
 * Put this folder on the include path instead of include/dbr; the two must lie beside each other.
 */
#ifndef SEATMETER_DBR_9_BARCODE_READER_H
#define SEATMETER_DBR_9_BARCODE_READER_H

#if defined(SEATMETER_DYNAMSOFT_BARCODE_READER_H) && !defined(SEATMETER_DBR_9)
#error "The header of DBR 8.x was included before: include one of the two."
#endif

#ifndef SEATMETER_DBR_9
#define SEATMETER_DBR_9
#endif

#include "../dbr/DynamsoftBarcodeReader.h"

#endif
