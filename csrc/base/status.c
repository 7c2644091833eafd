#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *le_status_text(le_status status)
{
    switch (status) {
#define X(name, number, text) \
    case name:                \
        return text;
        LE_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

le_status le_fail(le_error *error, le_status status, const char *format, ...)
{
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->message, sizeof error->message, format, args);
        va_end(args);
        error->status = status;
        error->index = -1;
    }
    return status;
}
