// The board's devices for ACPI guests. Compiled when the program is built; COMS and LINE are patched at start
// (dm/machine/acpi.cc).
DefinitionBlock ("dsdt.aml", "DSDT", 2, "ACRNDM", "BOARD", 1)
{
    // Bit n: there is a COM(n+1). Not Zero or One here, which would be encoded without room for another value.
    Name (COMS, 0xA5)

    // Soft off: SLP_TYP for PM1a_CNT.
    Name (\_S5, Package () { 0x05, Zero, Zero, Zero })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_BBN, Zero)
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x2000, 0xFFFF, 0x0000, 0xE000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0x80000000, 0xDFFFFFFF, 0x00000000, 0x60000000)
            })
            // INTA# of slot n is one of the lines, as INTERRUPT_LINE says: n mod 3. The pins of a slot follow one another.
            // Patched at start, like COMS.
            Name (LINE, Package () { 5, 10, 11 })
            Method (_PRT, 0, NotSerialized)
            {
                Local0 = Package (128) {}
                Local1 = Zero
                While (Local1 < 128)
                {
                    Local2 = Package (4) {}
                    Local2 [0] = ((Local1 >> 2) << 16) | 0xFFFF
                    Local2 [1] = Local1 & 3
                    Local2 [2] = Zero
                    Local2 [3] = DerefOf (LINE [((Local1 >> 2) + (Local1 & 3)) % 3])
                    Local0 [Local1] = Local2
                    Local1++
                }
                Return (Local0)
            }
            Device (ISA)
            {
                Name (_ADR, 0x00010000)
            }
        }

        Device (RTC)
        {
            Name (_HID, EisaId ("PNP0B00"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                IRQNoFlags () {8}
            })
        }

        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Method (_STA, 0, NotSerialized) { If (COMS & 0x01) { Return (0x0F) } Return (Zero) }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
                IRQNoFlags () { 4 }
            })
        }
        Device (COM2)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 2)
            Method (_STA, 0, NotSerialized) { If (COMS & 0x02) { Return (0x0F) } Return (Zero) }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08)
                IRQNoFlags () { 3 }
            })
        }
        Device (COM3)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 3)
            Method (_STA, 0, NotSerialized) { If (COMS & 0x04) { Return (0x0F) } Return (Zero) }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x03E8, 0x03E8, 0x01, 0x08)
                IRQNoFlags () { 4 }
            })
        }
        Device (COM4)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 4)
            Method (_STA, 0, NotSerialized) { If (COMS & 0x08) { Return (0x0F) } Return (Zero) }
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x02E8, 0x02E8, 0x01, 0x08)
                IRQNoFlags () { 3 }
            })
        }
    }
}
