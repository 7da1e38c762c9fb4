/* What the adapter in samples/embed/acrn_devicemodel needs of ACRN's device model: nothing of this header. */
#ifndef DM_H
#define DM_H
#endif
