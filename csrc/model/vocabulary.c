#include <string.h>

#include "le.h"

int le_activation_find(const char *name)
{
    static const char *const names[] = {
#define X(kind, text) text,
        LE_ACTIVATION_LIST(X)
#undef X
    };
    for (int i = 0; i < LE_ACT_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}
