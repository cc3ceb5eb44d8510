declare module "@cornerstonejs/codec-charls/decodewasmjs" {
  // biome-ignore lint/suspicious/noExplicitAny: the package has no types; imaging/dicom/codecs.ts names what it uses
  const make: any;
  export default make;
}

declare module "@cornerstonejs/codec-openjpeg/decodewasmjs" {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const make: any;
  export default make;
}
