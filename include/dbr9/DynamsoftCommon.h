/*
 * Types that programs written for the DBR 9.x API share with the other parts of that family: those of include/dbr, with
 * orientation in ImageData and coordinate in DM_Point.
 */
#ifndef SEATMETER_DBR_9_COMMON_H
#define SEATMETER_DBR_9_COMMON_H

#if defined(SEATMETER_DYNAMSOFT_COMMON_H) && !defined(SEATMETER_DBR_9)
#error "The header of DBR 8.x was included before: include one of the two."
#endif

#ifndef SEATMETER_DBR_9
#define SEATMETER_DBR_9
#endif

#include "../dbr/DynamsoftCommon.h"

#endif
