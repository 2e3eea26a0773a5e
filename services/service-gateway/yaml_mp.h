#ifndef SERVICE_GATEWAY_YAML_MP_H
#define SERVICE_GATEWAY_YAML_MP_H
/* A YAML file as one msgpack object, so that the rest of the house reads it as any other body.
 * Plain scalars follow the core schema (null, true, false, integers, floats); quoted ones are
 * strings.  Aliases and duplicate keys are refused: a catalogue needs neither, and both hide
 * mistakes. */
#include "base/buf.h"

/* Appends to out.  0, or -1 with one line in why: "file:3: …". */
int yaml_mp_file(const char *path, struct buf *out, char why[256])
    __attribute__((warn_unused_result));

#endif
