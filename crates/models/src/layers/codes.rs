//! The 7x12 bitmaps of LeNet-5's output (LeCun 1998, fig. 3): every printable ASCII character.

/// 84 bits a character from 0x20 on, in hex: 12 rows of 7 pixels, the most significant bit first, 1 for ink. Taken from
/// the lossless bitmaps of the author's preprint.
const CODES: [&str; 95] = [
    "000000000000000000000", // space
    "183060c18306001830000", // !
    "6cd9b3600000000000000", // "
    "00d9b7ffedbfff6cd8000", // #
    "7c50a3eeef0f17eef8a00", // $
    "e74fb0c1860c37cb9c000", // %
    "799b36678f33e6ccfc000", // &
    "3c3870c30000000000000", // '
    "061820c183060c1810303", // (
    "606040c183060c1820c30", // )
    "00235be39dce3ed620000", // *
    "000060c7efc60c0000000", // +
    "00000000000f0e1c30c00", // ,
    "0000000fffc0000000000", // -
    "0000000000000c3c30000", // .
    "000c38e183060c38e1800", // /
    "7c00e36c78f1e36c70000", // 0
    "1871e0c183060c18fc000", // 1
    "7c01f638618e30c1fc000", // 2
    "fe0c30c3c0c183c6f8000", // 3
    "7c0003367cf1e3cefc183", // 4
    "7c03fe0c0f0f03c6f8000", // 5
    "3cc3060fdcf1e3e6f8000", // 6
    "fe0c1861830c183060000", // 7
    "7d8f1e37d8f1e3c6f8000", // 8
    "7d9f1e3cefc1830cf0000", // 9
    "000061e180000c3c30000", // :
    "000061e1800f0e1c30c00", // ;
    "000c30c30c0c0c0c0c000", // <
    "000003f7e0003f7e00000", // =
    "00c0c0c0c0c30c30c0000", // >
    "7d8f1830c306001830000", // ?
    "00fbfe7dfa74efe0fc000", // @
    "7c8b1e3ff8f1e3c78c000", // A
    "7d8307ee78f1e3e7f8000", // B
    "7c0003fe183060e0fc000", // C
    "7e0c1bfcf8f1e3cefc000", // D
    "ff87060f983060c3fc000", // E
    "7cfd83061f983060c0000", // F
    "7c0003fc1b37edc2fc000", // G
    "c78f1e3ff8f1e3c78c000", // H
    "3c3060c183060c1878000", // I
    "7c30600383060c19b377e", // J
    "fd83066d9e3c6ccd8c000", // K
    "c183060c183060c3fc000", // L
    "7c00036ffaf5e3c78c000", // M
    "7c0007ee78f1e3c78c000", // N
    "7c0003ec78f1e3c6f8000", // O
    "7c0007ee78f1e3e7fb060", // P
    "7c0003fcf8f1e3cefc183", // Q
    "fd8f1e3fdf3366c78c000", // R
    "7c0003ec6f0f03c6f8000", // S
    "fe3060c183060c1830000", // T
    "7c00063c78f1e3cefc000", // U
    "7c00063c78f1b66c70400", // V
    "7c00063c78f5ebfed8000", // W
    "7c00063c6f8e3ec78c000", // X
    "7c00063c78f1e77e0f1be", // Y
    "7c0007f0c30c30c1fc000", // Z
    "1e3060c183060c1830780", // [
    "00c1c1c183060c1c1c180", // \
    "783060c183060c1831e00", // ]
    "1071b6300000000000000", // ^
    "000000000000000003f80", // _
    "3c70e0c0c000000000000", // `
    "000003e06ff1e3cefc000", // a
    "c18307ee78f1e3e7f8000", // b
    "000003fe183060e0fc000", // c
    "060c1bfcf8f1e3cefc000", // d
    "000003ec78ffe0c6f8000", // e
    "3ccd83061f983060c0000", // f
    "000003ecf8f1e77e0f1be", // g
    "c18307ee78f1e3c78c000", // h
    "0030600383060c1878000", // i
    "0030600383060c19b377e", // j
    "c183066d9e3c6ccd8c000", // k
    "383060c183060c1878000", // l
    "0000036ffaf5e3c78c000", // m
    "000007ee78f1e3c78c000", // n
    "000003ec78f1e3c6f8000", // o
    "000007ee78f1e3e7fb060", // p
    "000003fcf8f1e3cefc183", // q
    "000007ee783060c180000", // r
    "000003ec6f0f03c6f8000", // s
    "60c1830fec18306e78000", // t
    "0000063c78f1e3cefc000", // u
    "0000063c78f1b66c70400", // v
    "0000063c78f5ebfed8000", // w
    "0000063c6f8e3ec78c000", // x
    "0000063c78f1e77e0f1be", // y
    "000007f0c30c30c1fc000", // z
    "061860c0c70e061830303", // {
    "003060c183060c1830600", // |
    "606060c30387181830c30", // }
    "00e7fce00000000000000", // ~
];

/// The 84 values of `character`'s bitmap, row by row: +1 for ink, -1 for paper. `None` outside 0x20..=0x7e.
pub fn code(character: u8) -> Option<[f32; 84]> {
    let digits = CODES.get(usize::from(character.checked_sub(b' ')?))?.as_bytes();
    let mut values = [-1.0; 84];
    for (i, value) in values.iter_mut().enumerate() {
        let nibble = match digits[i / 4] {
            d @ b'0'..=b'9' => d - b'0',
            d => d - b'a' + 10,
        };
        if nibble >> (3 - i % 4) & 1 == 1 {
            *value = 1.0;
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::String, vec::Vec};

    #[test]
    fn seven_looks_like_seven() {
        let seven = code(b'7').unwrap();
        let rows: Vec<String> =
            seven.chunks(7).map(|row| row.iter().map(|v| if *v > 0.0 { '#' } else { '.' }).collect()).collect();
        // LeCun 1998, fig. 3.
        let drawn = [
            "#######", ".....##", ".....##", "....##.", "...##..", "...##..", "..##...", "..##...", "..##...",
            "..##...", ".......", ".......",
        ];
        assert_eq!(rows, drawn);
    }

    #[test]
    fn digits_are_as_far_apart_as_the_paper_s() {
        // Hamming distances of 12 (6 and 8) to 50, counted from the figure.
        let apart = |a: u8, b: u8| {
            let (a, b) = (code(a).unwrap(), code(b).unwrap());
            a.iter().zip(&b).filter(|(x, y)| x != y).count()
        };
        let all: Vec<usize> = (b'0'..=b'9').flat_map(|a| (a + 1..=b'9').map(move |b| apart(a, b))).collect();
        assert_eq!((all.iter().min(), all.iter().max()), (Some(&12), Some(&50)));
        assert_eq!(apart(b'6', b'8'), 12);
    }

    #[test]
    fn only_printable_characters_have_a_code() {
        assert!(code(b'~').is_some() && code(b' ').is_some());
        assert!(code(0x7f).is_none() && code(0x1f).is_none());
    }
}
