// The objects of a frame in C#, by the same library as Python.
//
//   mcs Objects.cs && mono Objects.exe FRAME.u16 MAPS.f32 HEIGHT WIDTH LOW HIGH
//        THRESHOLD CORE_THRESHOLD CORE_PROMINENCE CORE_SMOOTHING MIN_AREA
//
// Prints the frame's intensity range, and a line for each object: label, row, column, area, mean intensity. The library
// of the wheel edgescope-runtime is beside the program: edgescope.dll, or on Linux libedgescope.so. MAPS.f32 holds the
// model's maps: foreground, then core. The functions are those of edgescope.h.

using System;
using System.Globalization;
using System.IO;
using System.Runtime.InteropServices;

static class Objects {
    const string Library = "edgescope";
    const int Version = 3, UInt16Frame = 2;

    [StructLayout(LayoutKind.Sequential)]
    struct Rule {
        public double Threshold, CoreThreshold, CoreProminence, CoreSmoothing;
        public long MinArea;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct Measured {
        public int Label, TouchesBorder, Top, Left, Bottom, Right;
        public long Area, ConvexArea;
        public double Row, Col, Perimeter, MajorAxis, MinorAxis, Orientation, Eccentricity, Solidity;
        public double MeanProbability, MeanIntensity, MinIntensity, MaxIntensity, SdIntensity;
    }

    [DllImport(Library)] static extern int edgescope_version();
    [DllImport(Library)] static extern IntPtr edgescope_message(int code);
    [DllImport(Library)] static extern int edgescope_intensities(ushort[] frame, int type, int height, int width,
                                                                 long stride, double low, double high, int isRobust,
                                                                 double[] range);
    [DllImport(Library)] static extern int edgescope_label(float[] probability, float[] core, int height, int width,
                                                           ref Rule rule, int threads, [In, Out] int[] labels);
    [DllImport(Library)] static extern int edgescope_measure(int[] labels, int height, int width, ushort[] frame,
                                                             int type, float[] probability,
                                                             int threads, [In, Out] Measured[] objects, int count);

    static int Main(string[] given) {
        if (edgescope_version() != Version) throw new InvalidOperationException("the library has another version");
        int height = int.Parse(given[2]), width = int.Parse(given[3]), size = height * width;
        var frame = new ushort[size];
        float[] probability = new float[size], core = new float[size];
        Buffer.BlockCopy(File.ReadAllBytes(given[0]), 0, frame, 0, 2 * size);
        byte[] maps = File.ReadAllBytes(given[1]);
        Buffer.BlockCopy(maps, 0, probability, 0, 4 * size);
        Buffer.BlockCopy(maps, 4 * size, core, 0, 4 * size);

        var range = new double[4];
        Check(edgescope_intensities(frame, UInt16Frame, height, width, 2L * width, Number(given[4]), Number(given[5]), 1,
                                    range));
        Console.WriteLine(Text(range[0]) + "," + Text(range[1]));

        var rule = new Rule {
            Threshold = Number(given[6]), CoreThreshold = Number(given[7]), CoreProminence = Number(given[8]),
            CoreSmoothing = Number(given[9]), MinArea = long.Parse(given[10]),
        };
        var labels = new int[size];
        int count = Check(edgescope_label(probability, core, height, width, ref rule, 1, labels));
        var objects = new Measured[count];
        Check(edgescope_measure(labels, height, width, frame, UInt16Frame, probability, 1, objects, count));
        foreach (Measured one in objects)
            Console.WriteLine(string.Join(",", one.Label, Text(one.Row), Text(one.Col), one.Area,
                                          Text(one.MeanIntensity)));
        return 0;
    }

    static int Check(int code) {
        if (code < 0) throw new ArgumentException(Marshal.PtrToStringAnsi(edgescope_message(code)));
        return code;
    }

    static double Number(string text) { return double.Parse(text, CultureInfo.InvariantCulture); }

    static string Text(double value) { return value.ToString("R", CultureInfo.InvariantCulture); }
}
