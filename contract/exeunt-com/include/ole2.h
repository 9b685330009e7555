/* Everything of COM and Automation. */
#ifndef EXEUNT_OLE2_H
#define EXEUNT_OLE2_H

#include "objbase.h"
#include "oleauto.h"

#endif
