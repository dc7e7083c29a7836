/* Types that programs written for the DBR 9.x API share with the other parts of that family: those of include/dbr. */
#include "../dbr/DynamsoftCommon.h"
